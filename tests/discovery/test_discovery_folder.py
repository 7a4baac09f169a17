"""The folder in which nodes find each other: what is read of it, whatever lies there."""

from pathlib import Path

import pytest
from discovery_for_tests import LATER, LIFE, new_root

from drive_store import (
    DiscoveryFolder,
    InvalidName,
    Store,
    StoreFull,
    StoreUnavailable,
    Valid,
)
from drive_store.names import parse_registration_name, twin_name
from drive_store.paths import discovery_record
from drive_store.registry import MAX_RECORD
from drive_store.testing import FaultyStore


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return new_root(tmp_path)


def payload_of(folder: DiscoveryFolder) -> bytes:
    reading = folder.read_all()["n1", LIFE]
    assert isinstance(reading, Valid)
    return reading.payload


def path_of(store: Store, node: str, twin: int = 0) -> Path:
    return Path(store.root, twin_name(discovery_record(node, LIFE), twin))


def test_experiments_share_the_folder_and_the_last_word_of_each_node_is_read(store: Store) -> None:
    folder = DiscoveryFolder(store)
    assert folder.read_all() == {}
    folder.write("tea", "n1", LIFE, 1, b'{"n":1}')
    folder.write("tea", "n1", LIFE, 2, b'{"n":2}')
    folder.write("coffee", "n1", LATER, 1, b"3")
    lists, reads = store.operations.lists, store.operations.reads
    found = folder.read_all()
    assert (store.operations.lists - lists, store.operations.reads - reads) == (1, 2)
    said = {peer: (r.header.experiment, r.payload) for peer, r in found.items() if isinstance(r, Valid)}
    assert said == {("n1", LIFE): ("tea", b'{"n":2}'), ("n1", LATER): ("coffee", b"3")}


def test_a_settled_record_is_not_read_again_and_is_gone_with_its_name(store: Store) -> None:
    folder = DiscoveryFolder(store)
    folder.write("tea", "n1", LIFE, 1, b"1")
    last = folder.read_all()["n1", LIFE]
    assert isinstance(last, Valid)
    folder.settle("n1", LIFE, last)
    reads = store.operations.reads
    assert folder.read_all() == {("n1", LIFE): last}
    assert store.operations.reads == reads
    folder.remove("n1", LIFE)
    assert folder.read_all() == {}


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (f"n1.{LIFE}.json", ("n1", LIFE, 0)),
        (f"n1.{LIFE} (2).json", ("n1", LIFE, 2)),
        (f"../n1.{LIFE}.json", None),
        (f"N1.{LIFE}.json", None),
        *((name, None) for name in (f"n1.{LIFE}.beat", f"n1.{LIFE}.json\n", "n1.123.json", "desktop.ini")),
        (f"{'n' * 64}.{LIFE}.json", None),
    ],
)
def test_names_are_checked(text: str, parsed: tuple[str, str, int] | None) -> None:
    found = parse_registration_name(text)
    assert (found and (found.node, found.incarnation, found.twin)) == parsed


def test_no_record_is_written_under_a_name_that_nobody_would_read(store: Store) -> None:
    folder = DiscoveryFolder(store)
    for node, life in (("../n1", LIFE), ("n1", "x"), ("", LIFE)):
        with pytest.raises(InvalidName):
            folder.write("tea", node, life, 1, b"1")
    with pytest.raises(ValueError, match=str(MAX_RECORD)):
        folder.write("tea", "n1", LIFE, 1, b'"%s"' % (b"x" * MAX_RECORD))
    assert store.names("discovery") == []


def test_of_twins_the_one_that_was_written_last_speaks_and_both_are_removed(store: Store) -> None:
    folder = DiscoveryFolder(store)
    folder.write("tea", "n1", LIFE, 2, b"2")
    path_of(store, "n1").rename(path_of(store, "n1", 1))
    folder.write("tea", "n1", LIFE, 1, b"1")
    assert payload_of(folder) == b"2"
    path_of(store, "n1", 1).write_bytes(b"garbage")
    assert payload_of(folder) == b"1"
    folder.remove("n1", LIFE)
    folder.remove("n1", LIFE)
    assert store.names("discovery") == []


def test_a_root_from_before_there_was_discovery_gets_the_folder(tmp_path: Path) -> None:
    folder = DiscoveryFolder(Store(str(tmp_path)))
    folder.write("tea", "n1", LIFE, 1, b"1")
    assert payload_of(folder) == b"1"


def test_on_a_drive_that_shows_files_late_and_fails(store: Store) -> None:
    DiscoveryFolder(store).write("tea", "n1", LIFE, 1, b"1")
    faulty = FaultyStore(store.root)
    folder = DiscoveryFolder(faulty)
    faulty.faults.delay_looks = 2
    assert [list(folder.read_all()) for _ in range(3)] == [[], [], [("n1", LIFE)]]
    faulty.faults.full = True
    with pytest.raises(StoreFull):
        folder.write("tea", "n1", LIFE, 2, b"2")
    faulty.faults.unavailable = True
    for call in (folder.read_all, lambda: folder.remove("n1", LIFE), lambda: folder.age("n1", LIFE, 0.0)):
        with pytest.raises(StoreUnavailable):
            call()
    faulty.faults.full = faulty.faults.unavailable = False
    assert payload_of(folder) == b"1"


def test_age_is_that_of_the_file(store: Store) -> None:
    folder = DiscoveryFolder(store)
    assert folder.age("n1", LIFE, 5.0) is None
    folder.write("tea", "n1", LIFE, 1, b"1")
    written = path_of(store, "n1").stat().st_mtime
    assert folder.age("n1", LIFE, written + 7) == pytest.approx(7)
    assert folder.age("n1", LIFE, written - 7) == 0.0
