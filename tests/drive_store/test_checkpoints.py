"""Checkpoints on the machine's own disk: whole or not at all, and the right ones are kept."""

import os
import shutil
from pathlib import Path

import pytest

from drive_store import Header, StoreError, StoreFull, seal_json
from drive_store.checkpoints.local import LocalCheckpoints
from drive_store.checkpoints.manifest import KIND, Manifest, choose_kept

A, B = "0123abcd", "89abcdef"
FILES = {
    "weights.safetensors": b"w" * 3000,
    "optimizer.safetensors": b"o" * 5000,
    "state.json": b'{"step":7}',
}


@pytest.fixture
def own(tmp_path: Path) -> LocalCheckpoints:
    return LocalCheckpoints(tmp_path / "disk" / "n1", "tea", "n1")


def names(own: LocalCheckpoints) -> list[str]:
    return [checkpoint.path.name for checkpoint in own.folders()]


def test_what_is_written_is_verified(own: LocalCheckpoints) -> None:
    assert own.folders() == []
    made = FILES | {"weights.safetensors": lambda path: path.write_bytes(FILES["weights.safetensors"])}
    written = own.write(7, A, made, 0.25)
    assert own.folders() == [written]
    manifest = own.verify(written)
    assert isinstance(manifest, Manifest)
    assert (manifest.node, manifest.incarnation, manifest.step, manifest.score) == ("n1", A, 7, 0.25)
    assert {entry.name: entry.bytes for entry in manifest.files} == {n: len(b) for n, b in FILES.items()}
    assert manifest.total == sum(map(len, FILES.values()))
    assert {n: written.file(n).read_bytes() for n in FILES} == FILES
    assert manifest.entry("optimizer.safetensors") is not None
    assert manifest.only({"state.json"}).entry("optimizer.safetensors") is None


def test_the_newest_comes_first_and_a_step_may_come_again(own: LocalCheckpoints) -> None:
    for step in (9, 1_000_000, 10, 9):
        own.write(step, A, FILES)
    assert names(own) == ["step_1000000", "step_000010", "step_000009.1", "step_000009"]
    assert all(isinstance(own.verify(checkpoint), Manifest) for checkpoint in own.folders())


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("damage", ["gone", "cut", "longer", "a bit"])
def test_damage_is_seen(own: LocalCheckpoints, name: str, damage: str) -> None:
    written = own.write(7, A, FILES)
    path = written.path / name
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        flipped = data[:40] + bytes([data[40] ^ 1]) + data[41:] if len(data) > 40 else b"?" + data[1:]
        path.write_bytes({"cut": data[:-1], "longer": data + b" ", "a bit": flipped}[damage])
    reason = own.verify(written)
    assert isinstance(reason, str)
    assert ("manifest" if name == "manifest.json" else name) in reason


def test_manifests_of_others_are_refused(own: LocalCheckpoints, tmp_path: Path) -> None:
    for experiment, node, step in (("coffee", "n1", 7), ("tea", "n2", 7), ("tea", "n1", 8)):
        other = LocalCheckpoints(tmp_path / "other", experiment, node)
        foreign = other.write(step, A, FILES)
        target = own.fresh(7)
        shutil.copytree(foreign.path, target.path, dirs_exist_ok=True)
        assert isinstance(own.verify(target), str), (experiment, node, step)
        own.discard(target)
        other.discard(foreign)


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b'{"node":"n1","incarnation":"0123abcd","step":7,"files":[]}',
        b'{"node":"n1","incarnation":"0123abcd","step":7,"files":[{"name":"../x","bytes":1,"sha256":"%s"}]}'
        % (b"0" * 64),
        b'{"node":"n1","incarnation":"0123abcd","step":7,"format":2,"files":[]}',
        b'{"node":"n1","incarnation":"0123abcd","step":7,"files":[%s]}'
        % b",".join(
            b'{"name":"%s","bytes":%d,"sha256":"%s"}' % (n.encode(), 1 << 60, b"0" * 64) for n in FILES
        ),
    ],
)
def test_hostile_manifests_are_refused(own: LocalCheckpoints, payload: bytes) -> None:
    target = own.fresh(7)
    for name, data in FILES.items():
        target.file(name).write_bytes(data)
    header = Header(kind=KIND, experiment="tea", node="n1", incarnation=A, sequence=7)
    (target.path / "manifest.json").write_bytes(seal_json(header, payload))
    assert isinstance(own.verify(target), str)


def test_what_a_killed_writer_left_is_no_checkpoint_and_goes(own: LocalCheckpoints) -> None:
    first = own.write(7, A, FILES)
    for present in range(len(FILES) + 1):
        partial = own.fresh(8)
        for name in list(FILES)[:present]:
            partial.file(name).write_bytes(FILES[name][: 10 + present])
        assert isinstance(own.verify(partial), str)
        second = own.write(9 + present, B, FILES)
        assert partial not in own.folders()
        assert {first, second} <= set(own.folders())


def test_other_names_in_the_folder_are_let_be(own: LocalCheckpoints) -> None:
    own.write(7, A, FILES)
    for name in ("step_7", "step_000008 (1)", "step_0000009", "step_000009.0", "lost+found", "step_00001x"):
        (own.folder / name).mkdir()
    (own.folder / "step_000010").write_text("a file")
    (own.folder / "step_000011").symlink_to(own.folder / "step_000007")
    assert names(own) == ["step_000007"]
    own.write(12, A, FILES)
    own.prune(1, 0)
    assert names(own) == ["step_000012"]
    assert (own.folder / "step_7").is_dir()


def test_a_disk_that_takes_no_more_leaves_the_older_ones(own: LocalCheckpoints) -> None:
    def full(path: Path) -> None:
        path.write_bytes(b"a part")
        raise OSError(28, os.strerror(28))

    first = own.write(7, A, FILES)
    with pytest.raises(StoreFull, match="No space left"):
        own.write(8, A, FILES | {"optimizer.safetensors": full})
    assert own.folders() == [first]
    assert isinstance(own.verify(first), Manifest)
    shutil.rmtree(own.folder)
    own.folder.write_text("a file where the folder should be")
    with pytest.raises(StoreError):
        own.write(7, A, FILES)


def test_pruning_keeps_the_newest_and_the_best(own: LocalCheckpoints) -> None:
    for step, score in enumerate((0.1, 0.9, None, 0.8, 0.2, 0.3), start=1):
        own.write(step, A, FILES, score)
    spared = own.folders()[-1]
    for arguments, left in (((2, 1, [spared]), [6, 5, 2, 1]), ((1, 0), [6]), ((1, 3), [6])):
        own.prune(*arguments)
        assert [c.step for c in own.folders()] == left


def test_choosing_keeps_the_last_attempt_at_a_step() -> None:
    found = [("8.1", 8, 0.1), ("8", 8, 0.9), ("7", 7, 0.5), ("6", 6, None), ("5", 5, 0.4)]
    assert choose_kept(found, 1, 0) == {"8.1"}
    assert choose_kept(found, 2, 1) == {"8.1", "7"}
    assert choose_kept(found, 1, 2) == {"8.1", "7", "5"}
    assert choose_kept([], 2, 2) == set()
