"""Large files in pieces, free space, and what Drive's mount says of an upload."""

import errno
import os
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import MagicMock, Mock

import pytest

from drive_store import (
    FolderMissing,
    NameTaken,
    NotAFile,
    Store,
    StoreDenied,
    StoreFull,
    StoreUnavailable,
    TooLarge,
)
from drive_store.store.transfer import CHUNK, UNCOMMITTED


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "My Drive [x]"))
    store.make_folder("c")
    return store


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "weights"


@pytest.mark.parametrize("size", [0, 1, CHUNK, 2 * CHUNK + 5])
def test_a_file_goes_in_and_comes_out(store: Store, own: Path, tmp_path: Path, size: int) -> None:
    own.write_bytes(os.urandom(size))
    store.put_file("c/weights", own)
    assert store.get_file("c/weights", tmp_path / "back", size)
    assert (tmp_path / "back").read_bytes() == own.read_bytes()
    done = store.operations
    assert (done.creates, done.bytes_written, done.reads, done.bytes_read) == (1, size, 1, size)


def test_names_are_written_once_and_folders_must_exist(store: Store, own: Path) -> None:
    own.write_bytes(b"first")
    store.put_file("c/weights", own)
    own.write_bytes(b"second")
    for key, error in (("c/weights", NameTaken), ("d/weights", FolderMissing)):
        with pytest.raises(error, match=key):
            store.put_file(key, own)
    assert store.read("c/weights", 10) == b"first"


def test_absent_too_large_and_no_file(store: Store, own: Path) -> None:
    own.write_bytes(b"12345")
    store.put_file("c/weights", own)
    own.write_bytes(b"before")
    assert store.get_file("c/absent", own, 10) is False
    with pytest.raises(TooLarge, match="4 bytes"):
        store.get_file("c/weights", own, 4)
    with pytest.raises(NotAFile):
        store.get_file("c", own, 10)
    assert own.read_bytes() == b"before"
    assert own.parent.joinpath("weights.part").exists() is False


def test_a_file_that_grows_is_not_kept(store: Store, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own.write_bytes(b"12345")
    store.put_file("c/weights", own)
    monkeypatch.setattr(store, "_size", lambda path, limit: 4)
    target = own.with_name("back")
    with pytest.raises(TooLarge):
        store.get_file("c/weights", target, 4)
    assert sorted(path.name for path in target.parent.iterdir()) == ["My Drive [x]", "weights"]


def test_the_own_disk_is_told_apart(store: Store, own: Path) -> None:
    own.write_bytes(b"12345")
    store.put_file("c/weights", own)
    with pytest.raises(StoreUnavailable, match="this machine's own disk"):
        store.get_file("c/weights", own.parent / "missing" / "x", 10)
    with pytest.raises(StoreUnavailable, match="this machine's own disk"):
        store.put_file("c/other", own.with_name("missing"))
    assert store.names("c") == ["weights"]


def test_a_full_store_is_named(store: Store, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own.write_bytes(b"12345")
    full = MagicMock()
    full.__enter__.return_value.write.side_effect = OSError(errno.ENOSPC, "No space left on device")
    full.__exit__.return_value = None
    monkeypatch.setattr(store._fs, "open", lambda path, mode: full)
    with pytest.raises(StoreFull, match="c/weights"):
        store.put_file("c/weights", own)


def test_free_space(store: Store, tmp_path: Path) -> None:
    free = store.free_space()
    assert free is not None
    assert 0 < free <= os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize
    assert Store(str(tmp_path / "never-made")).free_space() is None
    assert store.operations.probes == 1


@pytest.mark.parametrize(("value", "state"), [(b"1", False), (b"0", True), (b"0\0", True), (b"what", None)])
def test_drive_says_what_is_uploaded(
    store: Store, value: bytes, state: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create("c/file", b"")
    getxattr = Mock(return_value=value)
    monkeypatch.setattr(os, "getxattr", getxattr)
    assert store.uploaded("c/file") is state
    getxattr.assert_called_once_with(str(Path(store.root) / "c/file"), UNCOMMITTED)
    assert store.capabilities.upload_probe is (state is not None)
    assert store.operations.probes == 1


def test_the_real_attribute_is_read(store: Store) -> None:
    store.create("c/file", b"")
    assert store.uploaded("c/file") is store.uploaded("c/absent") is None
    assert not store.capabilities.upload_probe
    path = Path(store.root) / "c/file"
    for value, answer in ((b"1", False), (b"0", True)):
        wanted: bool | None = answer
        try:
            os.setxattr(path, UNCOMMITTED, value)
        except OSError:  # a file system without attributes says nothing
            wanted = None
        assert store.uploaded("c/file") is wanted


@pytest.mark.parametrize("number", [errno.ENODATA, errno.ENOTSUP, errno.ENOENT, errno.EACCES])
def test_errors_that_say_nothing(store: Store, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getxattr", Mock(side_effect=OSError(number, os.strerror(number))))
    with pytest.raises(StoreDenied) if number == errno.EACCES else nullcontext():
        assert store.uploaded("c/file") is None
