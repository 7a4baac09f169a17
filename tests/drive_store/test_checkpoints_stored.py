"""Checkpoints in the shared folder: copied whole, found over all incarnations, never believed unverified."""

from pathlib import Path

import pytest

from drive_store import ExperimentPaths, ExperimentStore, StoreFull, StoreUnavailable
from drive_store.checkpoints.local import LocalCheckpoint, LocalCheckpoints
from drive_store.checkpoints.manifest import REQUIRED, Manifest
from drive_store.checkpoints.stored import StoredCheckpoint, StoredCheckpoints
from drive_store.testing import Faults

PATHS = ExperimentPaths("tea")
A, B = "0123abcd", "89abcdef"
FILES = {
    "weights.safetensors": b"w" * 3000,
    "optimizer.safetensors": b"o" * 5000,
    "state.json": b'{"step":7}',
}


@pytest.fixture
def stored(tea: ExperimentStore) -> StoredCheckpoints:
    return StoredCheckpoints(tea, "n1")


@pytest.fixture
def own(tmp_path: Path) -> LocalCheckpoints:
    return LocalCheckpoints(tmp_path / "here", "tea", "n1")


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
    return Path(tea.store.root, PATHS.checkpoint("n1", incarnation, step))


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
    parent = Path(tea.store.root, PATHS.checkpoints_parent)
    for name in ("n1.0123abcd (1)", "n2.0123abcd", "n1.zzzzzzzz", "n1", "..n1.0123abcd", "n1.0123abcde"):
        (parent / name / "step_000099").mkdir(parents=True)
    for name in ("step_99", "step_000098 (1)", "step_0000099", "x"):
        (parent / f"n1.{A}" / name).mkdir()
    assert [(c.step, c.incarnation) for c in stored.folders()] == [(1_000_000, A), (12, B), (9, A), (7, A)]


def test_nothing_is_written_into_an_unmounted_folder(tea, stored, own) -> None:
    assert stored.folders() == []
    assert isinstance(stored.manifest(StoredCheckpoint(A, 7)), str)
    Path(tea.store.root, PATHS.experiment_json).unlink()
    with pytest.raises(StoreUnavailable):
        upload(own, stored, 7)
    assert stored.folders() == []


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("damage", ["gone", "cut", "longer", "a bit"])
def test_damage_is_seen_and_leaves_nothing_here(tea, stored, own, elsewhere, name, damage) -> None:
    upload(own, stored, 7)
    path = folder(tea, 7) / name
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"cut": data[:-1], "longer": data + b" ", "a bit": b"~" + data[1:]}[damage])
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
