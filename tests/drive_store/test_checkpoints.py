"""Checkpoints on the own disk and in the shared folder: whole or not at all, and the right ones are kept."""

import os
import shutil
from pathlib import Path

import pytest

from drive_store import ExperimentStore, Header, StoreError, StoreFull, StoreUnavailable, seal_json
from drive_store.checkpoints.local import LocalCheckpoint, LocalCheckpoints
from drive_store.checkpoints.manifest import KIND, REQUIRED, Manifest, choose_kept
from drive_store.checkpoints.stored import StoredCheckpoint, StoredCheckpoints
from drive_store.testing import Faults

A, B = "0123abcd", "89abcdef"
WEIGHTS, OPTIMIZER, ZEROS = b"w" * 3000, b"o" * 5000, b"0" * 64
FILES = {"weights.safetensors": WEIGHTS, "optimizer.safetensors": OPTIMIZER, "state.json": b'{"step":7}'}


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
    "rest",
    [
        b"[]",
        b'"files":[]}',
        b'"files":[{"name":"../x","bytes":1,"sha256":"%s"}]}' % ZEROS,
        b'"format":2,"files":[]}',
        b'"files":[%s]}'
        % b",".join(b'{"name":"%s","bytes":%d,"sha256":"%s"}' % (n.encode(), 1 << 60, ZEROS) for n in FILES),
    ],
)
def test_hostile_manifests_are_refused(own: LocalCheckpoints, rest: bytes) -> None:
    payload = rest if rest == b"[]" else b'{"node":"n1","incarnation":"0123abcd","step":7,' + rest
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


@pytest.fixture
def stored(tea: ExperimentStore) -> StoredCheckpoints:
    return StoredCheckpoints(tea, "n1")


@pytest.fixture
def elsewhere(tmp_path: Path) -> LocalCheckpoints:
    return LocalCheckpoints(tmp_path / "another machine", "tea", "n1")


def upload(
    own: LocalCheckpoints,
    stored: StoredCheckpoints,
    step: int,
    incarnation: str = A,
    score: float | None = None,
    names: frozenset[str] = frozenset(FILES),
) -> LocalCheckpoint:
    written = own.write(step, incarnation, FILES | {"state.json": b"{%d}" % step}, score)
    stored.upload(written, own.manifest(written), names)
    return written


def folder(tea: ExperimentStore, step: int, incarnation: str = A) -> Path:
    return Path(tea.store.root, tea.paths.checkpoint("n1", incarnation, step))


@pytest.mark.parametrize("names", [frozenset(FILES), REQUIRED], ids=["whole", "without its optimizer"])
def test_another_machine_gets_what_was_uploaded(stored, own, elsewhere, names) -> None:
    upload(own, stored, 7, score=0.5, names=names)
    assert stored.folders() == [StoredCheckpoint(A, 7)]
    copied = stored.download(stored.folders()[0], elsewhere)
    manifest = elsewhere.verify(copied)
    assert isinstance(manifest, Manifest)
    assert (manifest.incarnation, manifest.step, manifest.score) == (A, 7, 0.5)
    assert {name for name in FILES if copied.file(name).exists()} == names
    assert copied.file("weights.safetensors").read_bytes() == FILES["weights.safetensors"]


def test_all_incarnations_are_found_and_hostile_names_are_not(tea, stored, own) -> None:
    for step, incarnation in ((7, A), (12, B), (9, A), (1_000_000, A)):
        upload(own, stored, step, incarnation)
    parent = Path(tea.store.root, tea.paths.checkpoints_parent)
    for name in ("n1.0123abcd (1)", "n2.0123abcd", "n1.zzzzzzzz", "n1", "..n1.0123abcd", "n1.0123abcde"):
        (parent / name / "step_000099").mkdir(parents=True)
    for name in ("step_99", "step_000098 (1)", "step_0000099", "x"):
        (parent / f"n1.{A}" / name).mkdir()
    assert [(c.step, c.incarnation) for c in stored.folders()] == [(1_000_000, A), (12, B), (9, A), (7, A)]


def test_nothing_is_written_into_an_unmounted_folder(tea, stored, own) -> None:
    assert stored.folders() == []
    assert isinstance(stored.manifest(StoredCheckpoint(A, 7)), str)
    Path(tea.store.root, tea.paths.experiment_json).unlink()
    with pytest.raises(StoreUnavailable):
        upload(own, stored, 7)
    assert stored.folders() == []


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("damage", ["gone", "cut", "longer", "a bit"])
def test_damage_is_seen_here_and_there(tea, stored, own, elsewhere, name, damage) -> None:
    written = upload(own, stored, 7)
    for path in (written.path / name, folder(tea, 7) / name):
        data = path.read_bytes()
        path.unlink()
        at = min(40, len(data) - 1)
        flipped = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        if damage != "gone":
            path.write_bytes({"cut": data[:-1], "longer": data + b" ", "a bit": flipped}[damage])
    assert ("manifest" if name == "manifest.json" else name) in str(own.verify(written))
    assert isinstance(stored.download(StoredCheckpoint(A, 7), elsewhere), str)
    assert elsewhere.folders() == []


def test_an_upload_under_another_name_is_refused(tea, stored, own, elsewhere) -> None:
    upload(own, stored, 7)
    folder(tea, 7).rename(folder(tea, 8))
    assert "step 7" in str(stored.download(StoredCheckpoint(A, 8), elsewhere))
    folder(tea, 8).parent.rename(folder(tea, 8, B).parent)
    assert "incarnation" in str(stored.download(StoredCheckpoint(B, 8), elsewhere))


@pytest.mark.parametrize("present", range(4))
def test_an_upload_that_was_cut_off_is_nothing_and_is_completed(tea, stored, own, elsewhere, present) -> None:
    written = upload(own, stored, 7)
    (folder(tea, 7) / "manifest.json").unlink()
    for name in list(FILES)[present:]:
        (folder(tea, 7) / name).unlink()
    if present:
        last = folder(tea, 7) / list(FILES)[present - 1]
        last.write_bytes(last.read_bytes()[:3])
    assert isinstance(stored.download(StoredCheckpoint(A, 7), elsewhere), str)
    stored.upload(written, own.manifest(written), frozenset(FILES))
    assert isinstance(stored.download(StoredCheckpoint(A, 7), elsewhere), LocalCheckpoint)


def test_a_step_written_again_replaces_what_differs_alone(tea, stored, own, elsewhere) -> None:
    upload(own, stored, 7)
    before = tea.store.operations.creates
    upload(own, stored, 7)
    assert tea.store.operations.creates == before
    again = own.write(7, A, FILES | {"state.json": b'{"evaluated":true}'})
    stored.upload(again, own.manifest(again), frozenset(FILES))
    assert tea.store.operations.creates == before + 2
    copied = stored.download(StoredCheckpoint(A, 7), elsewhere)
    assert copied.file("state.json").read_bytes() == b'{"evaluated":true}'


def test_pruning_goes_over_all_incarnations(tea, stored, own) -> None:
    for step, incarnation, score in ((1, A, 0.9), (2, A, 0.1), (3, A, 0.2), (4, B, 0.3), (5, B, 0.4)):
        upload(own, stored, step, incarnation, score)
    stored.prune(B, 2, 1)
    assert [(c.step, c.incarnation) for c in stored.folders()] == [(5, B), (4, B), (1, A)]


def test_remains_of_killed_uploads_go(tea, stored, own) -> None:
    for step, incarnation in ((1, A), (3, A), (4, B), (6, A)):
        (folder(tea, step, incarnation)).mkdir(parents=True)
        (folder(tea, step, incarnation) / "weights.safetensors").write_bytes(b"a part")
    for step in (2, 5):
        upload(own, stored, step, B)
    stored.prune(B, 2, 0)
    # Older than all that is kept, or our own: gone. Another's newer one may be on its way still.
    assert [(c.step, c.incarnation) for c in stored.folders()] == [(6, A), (5, B), (3, A), (2, B)]


def test_a_full_folder_keeps_the_older_upload(tea, stored, own, elsewhere) -> None:
    upload(own, stored, 7)
    tea.store.faults = Faults(full=True)
    with pytest.raises(StoreFull):
        upload(own, stored, 8)
    tea.store.faults = Faults()
    assert isinstance(stored.download(StoredCheckpoint(A, 8), elsewhere), str)
    assert isinstance(stored.download(StoredCheckpoint(A, 7), elsewhere), LocalCheckpoint)
    upload(own, stored, 8)
    assert isinstance(stored.download(StoredCheckpoint(A, 8), elsewhere), LocalCheckpoint)
