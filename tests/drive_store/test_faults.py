"""The store with faults: one like others without any, and each fault does what its name says."""

import os
from functools import partial
from pathlib import Path

import msgspec
import pytest

from drive_store import FolderMissing, NameTaken, Store, StoreDenied, StoreFull, StoreUnavailable
from drive_store.testing import Faults, FaultyStore, StoreTests


class TestWithoutFaults(StoreTests):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return FaultyStore(str(tmp_path / "root"), tmp_path / "faults.json")


@pytest.fixture
def store(tmp_path: Path) -> FaultyStore:
    store = FaultyStore(str(tmp_path / "root"))
    store.make_folder("a")
    store.create("a/old", b"old")
    return store


def test_unavailable(store: FaultyStore) -> None:
    store.faults = Faults(unavailable=True)
    for call in (
        partial(store.create, "a/x", b""),
        partial(store.read, "a/old", 10),
        store.free_space,
        *(partial(call, "a/old") for call in (store.size, store.uploaded, store.attach)),
        *(partial(call, "a") for call in (store.names, store.remove_tree)),
    ):
        with pytest.raises(StoreUnavailable, match="for a test"):
            call()
    store.faults = Faults()
    assert store.names("a") == ["old"]


@pytest.mark.parametrize(("fault", "kind"), [("full", StoreFull), ("denied", StoreDenied)])
def test_writes_fail_and_reads_do_not(
    store: FaultyStore, fault: str, kind: type[Exception], tmp_path: Path
) -> None:
    setattr(store.faults, fault, True)
    for call in (
        partial(store.create, "a/x", b""),
        partial(store.replace_copy, "a/old", b""),
        partial(store.make_folder, "b"),
        partial(store.put_file, "a/x", tmp_path / "root/a/old"),
    ):
        with pytest.raises(kind):
            call()
    assert (store.read("a/old", 10), store.names("a")) == (b"old", ["old"])


def test_lost_and_torn_creations(store: FaultyStore, tmp_path: Path) -> None:
    for key, error in (("a/old", NameTaken), ("b/x", FolderMissing)):
        store.faults = Faults(lose=1)
        with pytest.raises(error):
            store.create(key, b"new")
    store.faults = Faults(lose=2, tear=1)
    store.create("a/x", b"new")
    store.put_file("a/y", tmp_path / "root/a/old")
    assert store.names("a") == ["old"]
    for data in (b"12345", b"12345"):
        store.create(f"a/{len(store.names('a'))}", data)
    assert (store.read("a/1", 10), store.read("a/2", 10)) == (b"12", b"12345")


def test_slow_calls(tmp_path: Path) -> None:
    slept: list[float] = []
    store = FaultyStore(str(tmp_path), sleep=slept.append)
    store.names("a")
    store.faults = Faults(hang_s=9)
    store.names("a")
    assert slept == [9]


def test_files_of_others_are_seen_late(store: FaultyStore, tmp_path: Path) -> None:
    now = 0.0
    reader = FaultyStore(store.root, wall=lambda: now)
    assert reader.read("a/old", 10) == b"old"
    reader.faults = Faults(delay_s=60)
    store.create("a/new", b"new")
    os.utime(tmp_path / "root/a/new", (1000, 1000))
    now = 1059.0
    reader.create("a/own", b"own")
    assert reader.names("a") == ["old", "own"]
    assert (reader.read("a/new", 10), reader.size("a/new")) == (None, None)
    assert reader.get_file("a/new", tmp_path / "copy", 10) is False
    now = 1060.0
    assert reader.names("a") == ["new", "old", "own"]


def test_files_of_others_are_seen_after_some_looks(store: FaultyStore) -> None:
    reader = FaultyStore(store.root)
    reader.faults = Faults(delay_looks=3)
    assert [reader.read("a/old", 10) for _ in range(5)] == [None, None, None, b"old", b"old"]


def test_another_process_switches_faults(tmp_path: Path) -> None:
    control = tmp_path / "faults.json"
    store = FaultyStore(str(tmp_path / "root"), control)
    store.make_folder("a")
    control.write_bytes(msgspec.json.encode(Faults(lose=1)))
    store.create("a/x", b"")
    store.create("a/y", b"")
    assert store.names("a") == ["y"]
    control.write_bytes(b'{"unavailable": true}')
    os.utime(control, ns=(1, 1))
    with pytest.raises(StoreUnavailable):
        store.names("a")
    control.write_bytes(b"{}")
    os.utime(control, ns=(2, 2))
    assert store.names("a") == ["y"]
