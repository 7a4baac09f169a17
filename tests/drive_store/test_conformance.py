"""Local paths and the store with faults pass the suite that every store has to pass; each fault does what it says."""

import errno
import os
import pickle
import subprocess
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from unittest.mock import MagicMock, Mock

import msgspec
import pytest

from drive_store import (
    FolderMissing,
    NameTaken,
    Store,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreUnavailable,
    UnsupportedStore,
    errors,
)
from drive_store.errors import store_error
from drive_store.testing import Faults, FaultyStore, StoreTests


class TestLocalPath(StoreTests):
    @pytest.fixture(params=["plain", "My Drive (1)/[x]*?/größe 'q' #100%"])
    def store(self, tmp_path: Path, request: pytest.FixtureRequest) -> Store:
        return Store(str(tmp_path / request.param))


def test_opening_makes_nothing_whatever_the_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in (f"{tmp_path}/root/", f"file://{tmp_path}/root", "root"):
        assert Store(url).root == str(tmp_path / "root")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["", "memory://x", "s3://bucket/x", "gdrive://x", "http://x", "a::b", "a\0b"])
def test_other_stores_are_refused_in_one_sentence(url: str) -> None:
    with pytest.raises(UnsupportedStore, match="local paths only"):
        Store(url)


def test_a_file_too_large_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, opened = Store(str(tmp_path)), MagicMock(return_value=b"12345")
    store.create("file", b"12345")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(store._fs, "cat_file", opened)
    for key, error in (("file", errors.TooLarge), ("pipe", errors.NotAFile)):
        with pytest.raises(error):
            store.read(key, 4)
    assert not opened.called
    assert store.read("file", 5) == b"12345"
    opened.assert_called_once()


def test_a_root_replaced_by_an_empty_folder_is_unavailable(tmp_path: Path) -> None:
    root, away = tmp_path / "root", tmp_path / "elsewhere"
    store = Store(str(root))
    store.make_folder("e")
    store.create("e/experiment.json", b"{}")
    store.attach("e/experiment.json")
    for change, match in ((lambda: root.rename(away), "cannot be reached"), (root.mkdir, "unmounted Drive")):
        change()
        with pytest.raises(StoreUnavailable, match=match):
            store.check()
    root.rmdir()
    away.rename(root)
    store.check()


@pytest.mark.parametrize("key", ["e/tea/rollouts/n0/000000", "e/tea/state", "discovery", "e/tea", "e"])
def test_an_attached_store_never_makes_a_root_that_vanished(key: str, tmp_path: Path) -> None:
    root, away = tmp_path / "mount/root", tmp_path / "away"
    store = Store(str(root))
    store.make_folder("e/tea")
    store.create("e/tea/experiment.json", b"{}")
    store.attach("e/tea/experiment.json")
    check = store.check

    def check_and_vanish() -> None:
        check()
        root.rename(away)

    store.check = check_and_vanish  # type: ignore[method-assign]
    refused = pytest.raises(StoreUnavailable, match=f"Is {root} mounted")
    with nullcontext() if key in "e/tea" else refused:
        store.make_folder(key)
    assert not root.exists()
    away.rename(root)
    store.check = check  # type: ignore[method-assign]
    store.make_folder(key)
    store.make_folder(key)
    assert (root / key).is_dir()


def test_another_device_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    store.create("experiment.json", b"{}")
    store.attach("experiment.json")
    fields = list(tmp_path.stat())
    fields[2] += 1  # st_dev
    monkeypatch.setattr(Path, "stat", lambda self, **kwargs: os.stat_result(fields))
    with pytest.raises(StoreUnavailable, match="another device"):
        store.check()


def test_a_tree_is_removed_without_following_links(tmp_path: Path) -> None:
    outside, tree = tmp_path / "outside", tmp_path / "root/tree"
    odd = tree / "odd [name] (1)"
    for folder in (outside, odd):
        folder.mkdir(parents=True)
    (outside / "kept").touch()
    (tree / "link").symlink_to(outside)
    (odd / ".hidden").touch()
    Store(str(tmp_path / "root")).remove_tree("tree")
    assert (tree.exists(), (outside / "kept").exists()) == (False, True)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        *((number, StoreFull) for number in (errno.ENOSPC, errno.EDQUOT)),
        *((number, StoreDenied) for number in (errno.EROFS, errno.EACCES)),
        *((number, StoreUnavailable) for number in (errno.EIO, errno.ENOTCONN, errno.EAGAIN, errno.EDEADLK)),
    ],
)
def test_errors_of_the_system_have_types(
    number: int, kind: type[StoreError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, fail = Store(str(tmp_path)), Mock(side_effect=OSError(number, os.strerror(number)))
    monkeypatch.setattr(os, "listdir", fail)
    store._fs = Mock(open=fail, info=fail, ls=fail, makedirs=fail, rm_file=fail)
    of_a_key = (store.names, store.size, store.remove, store.remove_tree, store.make_folder)
    for call in (
        partial(store.create, "a", b""),
        partial(store.replace_copy, "a", b""),
        partial(store.read, "a", 1),
        *(partial(call, "a") for call in of_a_key),
    ):
        with pytest.raises(kind, match=errno.errorcode[number]) as caught:
            call()
        assert str(tmp_path) in str(caught.value)


def test_errors_survive_a_process_boundary() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, StoreError)]
    assert len(kinds) >= 10
    for kind in kinds:
        again = pickle.loads(pickle.dumps(kind("what happened")))
        assert (type(again), str(again)) == (kind, "what happened")
    assert isinstance(store_error(OSError("no number"), "read", "x"), StoreUnavailable)


def test_neither_ray_nor_torch_is_imported() -> None:
    others = {"torch", "ray", "swarm_ray", "actors", "transformers", "numpy"}
    code = f"import sys, drive_store; drive_store.Store('x'); print(sorted({others} & {{*sys.modules}}))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60).strip() == "[]"


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
