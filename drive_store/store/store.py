"""One shared folder through fsspec: a few operations, typed errors, and counts of what was done.

Google Drive's mount gives no atomic visibility, no mutual exclusion between machines and no consistent
listing, so the face is small: create a name once, read it whole, list a folder. Only those calls of fsspec
are used that report their errors: ``exists`` answers False to every failure, ``cat`` takes brackets in
names for patterns, and ``mv`` and ``pipe_file`` are not exclusive.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from math import inf
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from drive_store.errors import FolderMissing, NameTaken, NotAFile, StoreUnavailable, store_error
from drive_store.names import require_key
from drive_store.store import transfer
from drive_store.store.backend import (
    LOCAL_PATH,
    Capabilities,
    Operations,
    Sentinel,
    open_file_system,
    remember,
)
from drive_store.store.deadline import DEADLINE_S, Deadline

__all__ = ["Capabilities", "Operations", "Store"]

T = TypeVar("T")
_GROWTH = 1 << 16  # bytes: a file rewritten in place may have grown since its size was asked


class Store:
    """A folder that several machines share; keys are posix paths relative to `root`.

    Nothing is made until asked. Safe to use from several threads. Every method raises a `StoreError` and no
    other error of the file system; a key that is not a path below the root raises `InvalidName`. Every method
    ends in time: where the file system hangs it raises `StoreUnavailable`, and what it was about to write
    may still appear later.

    Args:
        root_url: the folder, a path of this machine.
        deadline_s: seconds that the file system may take to answer; a transfer in pieces may take this
            long for each.
    """

    def __init__(self, root_url: str, *, deadline_s: float = DEADLINE_S) -> None:
        self._fs, self.root = open_file_system(root_url)
        self._deadline = Deadline(deadline_s)
        self._root_path = Path(self.root or "/")
        self._sentinel: Sentinel | None = None
        self._counting = threading.Lock()
        self.operations = Operations()
        self.capabilities = LOCAL_PATH

    def make_folder(self, key: str) -> None:
        """Make a folder and its parents; a folder that exists already is left as it is.

        An attached store never makes its root, nor a folder that holds its sentinel: where Drive was unmounted, a
        new tree would hide the mount.

        Raises:
            NotAFile: a file has the folder's name.
            StoreUnavailable: the root is not the one that was attached, or vanishes meanwhile.
            StoreError: the folder cannot be made.
        """
        path, folders = self._asked("folders", key), [PurePosixPath(key)]
        attached = self._sentinel is not None
        if self._sentinel is not None:
            self.check()
            there = PurePosixPath(self._sentinel.key).parents
            folders = [folder for folder in (*folders[0].parents[::-1], *folders) if folder not in there]

        def make() -> None:
            with writing(path, self.root):
                for folder in folders:
                    transfer.make_folder(self._fs, f"{self.root}/{folder}", parents=not attached)

        self._do("make the folder", path, make)

    def create(self, key: str, data: bytes) -> None:
        """Write a new file; its folder must exist. A write that fails half-way leaves the name and a part.

        Raises:
            NameTaken: the name exists.
            FolderMissing: the folder is not there.
            StoreError: the write failed; publish again under another name.
        """
        self._write(self._asked("creates", key), "xb", data)

    def create_once(self, key: str, data: bytes) -> None:
        """Write a new file as `create` does, unless it is there with just this content.

        Raises:
            NameTaken: another content has the name.
            StoreError: see `create`.
        """
        try:
            self.create(key, data)
        except NameTaken:
            if not self.holds(key, data):
                raise

    def replace_copy(self, key: str, data: bytes) -> None:
        """Write a file in place, over what is there: for copies that people read, and for beats.

        A reader may meet nothing, a beginning of the new content, or the old one, so nothing may depend on
        it. Drive's mount may never upload a file that is rewritten every few seconds: wait a minute between
        two calls.

        Raises:
            FolderMissing: the folder is not there.
            StoreError: the write failed.
        """
        self._write(self._asked("overwrites", key), "wb", data)

    def read(self, key: str, limit: int) -> bytes | None:
        """Read a whole file of at most `limit` bytes; None when no such file is seen, which proves nothing.

        Raises:
            TooLarge: the file is larger, by what the file system says before anything is read.
            NotAFile: the name belongs to a folder, a pipe or a device.
            StoreError: the read failed.
        """
        path = self._asked("reads", key, twins=True)
        data = self._look("read", path, lambda: self._read(path, limit))
        self._count("bytes_read", len(data or b""))
        return data

    def names(self, folder_key: str) -> list[str]:
        """List the names in a folder ("" for the root), sorted; [] when no such folder is seen.

        Others write into the folder too: a name is only text until a parser of `paths` accepts it.

        Raises:
            NotAFile: a file has the folder's name.
            StoreError: the folder cannot be listed.
        """
        path = self._asked("lists", folder_key, twins=True) if folder_key else self.root or "/"
        # fsspec's own listing takes six times as long, for facts that nobody asked for.
        found = self._look("list the folder", path, lambda: os.listdir(path))  # noqa: PTH208  (names, not paths)
        return sorted(found or [])

    def size(self, key: str) -> int | None:
        """Ask for a file's size in bytes; None when no such file is seen."""
        path = self._asked("sizes", key, twins=True)
        return self._look("look at", path, lambda: self._size(path))

    def holds(self, key: str, data: bytes, *, beginning: bool = False) -> bool:
        """Say whether a file holds these bytes: so a repeated write tells its own file from another.

        Args:
            key: the file's key.
            data: what it should hold.
            beginning: ask instead whether it holds a beginning of them, as a write that failed leaves.

        Raises:
            StoreError: the store cannot be read.
        """
        size = self.size(key)
        if size is None or size > len(data) or (size < len(data) and not beginning):
            return False
        found = self.read(key, len(data))
        return found is not None and (data.startswith(found) if beginning else found == data)

    def modified(self, key: str) -> float | None:
        """Ask when a file was last written, seconds since 1970 by the store's wall clock; None when not seen.

        For people: clocks differ, and nothing is decided by it.
        """
        path = self._asked("sizes", key, twins=True)
        return self._look("look at", path, lambda: float(self._fs.info(path)["mtime"]))

    def remove(self, key: str) -> None:
        """Remove a file; one that is gone already is fine. On Drive it still uses space, in the trash."""
        path = self._asked("removes", key, twins=True)
        self._look("remove", path, lambda: self._fs.rm_file(path))

    def remove_tree(self, key: str) -> None:
        """Remove a folder with all that is in it, whatever its names; for an experiment that is overwritten.

        Links are removed, not followed. A folder that is gone already is fine.
        """
        self._remove_folder(f"{self.root}/{require_key(key)}")

    def attach(self, sentinel_key: str) -> None:
        """Remember the root's device and the sentinel's content, so that `check` can tell a change.

        Raises:
            StoreUnavailable: the root cannot be reached, or the sentinel cannot be read.
        """
        self._sentinel = self._do(
            "look at", self.root, partial(remember, self._root_path, sentinel_key, self.read)
        )

    def check(self) -> None:
        """Make sure that the root is still the folder that was attached; call it before each batch of writes.

        Raises:
            StoreUnavailable: the device changed, or the sentinel is gone, unreadable or different; or the
                store was never attached.
        """
        if self._sentinel is None:
            raise StoreUnavailable(f"{self.root} was not attached to an experiment: call attach() first.")
        self._do("look at", self.root, partial(self._sentinel.check, self.read))

    def put_file(self, key: str, path: Path) -> None:
        """Copy a file of this machine, however large, to a new name; its folder must exist.

        A copy that fails half-way leaves the name and a part.

        Raises:
            NameTaken: the name exists.
            FolderMissing: the folder is not there.
            StoreError: the copy failed; copy again under another name.
        """
        target, moved = self._asked("creates", key), transfer.Moved()

        def put() -> None:
            with writing(target, self.root):
                transfer.copy_in(self._fs, path, target, moved)

        self._do("write", target, put, moved)
        self._count("bytes_written", moved.bytes)

    def get_file(self, key: str, path: Path, limit: int) -> bool:
        """Copy a file of at most `limit` bytes to this machine, over what is there.

        Returns:
            False when no such file is seen, which proves nothing.

        Raises:
            TooLarge: the file is larger.
            NotAFile: the name belongs to a folder, a pipe or a device.
            StoreError: the copy failed; what was at `path` before is still there.
        """
        source, moved = self._asked("reads", key, twins=True), transfer.Moved()

        def get() -> bool:
            self._size(source, limit)
            return transfer.copy_out(self._fs, source, path, limit, moved)

        seen = self._look("read", source, get, moved)
        self._count("bytes_read", moved.bytes)
        return bool(seen)

    def free_space(self) -> int | None:
        """Ask how many bytes may still be written; None where the store does not say.

        What a mount of Drive answers is its own idea of the quota.
        """
        self._count("probes")
        return self._look("look at", self.root, lambda: shutil.disk_usage(self._root_path).free)

    def uploaded(self, key: str) -> bool | None:
        """Ask whether a file has left this machine; None where that is not known; see `transfer.upload_state`.

        The first file that answers sets `capabilities.upload_probe`.
        """
        path = self._asked("probes", key, twins=True)
        state = self._look("look at", path, lambda: transfer.upload_state(path))
        if state is not None:
            self.capabilities = replace(self.capabilities, upload_probe=True)
        return state

    def _asked(self, operation: str, key: str, *, twins: bool = False) -> str:
        """Count an operation, and answer the path that it is done to."""
        path = f"{self.root}/{require_key(key, twins=twins)}"
        self._count(operation)
        return path

    def _count(self, operation: str, number: int = 1) -> None:
        """Add to `operations`; several threads may."""
        with self._counting:
            setattr(self.operations, operation, getattr(self.operations, operation) + number)

    def _do(self, doing: str, path: str, work: Callable[[], T], moved: Callable[[], int] = int) -> T:
        """Do what touches the file system: within the deadline, and with the store's errors."""
        try:
            return self._deadline.call(work, moved)
        except OSError as error:
            raise store_error(error, doing, path) from error

    def _look(self, doing: str, path: str, work: Callable[[], T], moved: Callable[[], int] = int) -> T | None:
        """Do what may find nothing: None then."""

        def look() -> T | None:
            try:
                return work()
            except FileNotFoundError:
                return None

        return self._do(doing, path, look, moved)

    def _size(self, path: str, limit: float = inf) -> int:
        """A file's size in bytes; asking first also keeps us from opening a pipe, which would never answer."""
        info: dict[str, Any] = self._fs.info(path)
        if info["type"] != "file":
            raise NotAFile(f"{path} is a {info['type']} where a file is expected. Move it away.")
        if info["size"] > limit:
            raise transfer.too_large(path, int(limit))
        return int(info["size"])

    def _read(self, path: str, limit: int) -> bytes:
        data: bytes = self._fs.cat_file(path, 0, min(limit, self._size(path, limit) + _GROWTH) + 1)
        if len(data) > limit:
            raise transfer.too_large(path, limit)
        return data

    def _write(self, path: str, mode: str, data: bytes) -> None:
        def write() -> None:
            with writing(path, self.root), self._fs.open(path, mode) as file:
                file.write(data)

        self._do("write", path, write)
        self._count("bytes_written", len(data))

    def _remove_folder(self, path: str) -> None:
        entries: list[dict[str, Any]] | None = self._look(
            "remove the folder", path, lambda: self._fs.ls(path, detail=True)
        )
        if entries is None:
            return
        for entry in entries:
            if entry["type"] == "directory":
                self._remove_folder(entry["name"])
            else:
                self._count("removes")
                self._do("remove", entry["name"], partial(self._fs.rm_file, entry["name"]))
        self._do("remove the folder", path, lambda: self._fs.rmdir(path))


@contextmanager
def writing(path: str, root: str) -> Iterator[None]:
    """Let the block raise what a new file's name or folder can be the reason for; other errors are as they were."""
    try:
        yield
    except FileExistsError as error:
        raise NameTaken(f"{path} exists, and a name is never written twice. Take another.") from error
    except FileNotFoundError as error:
        raise FolderMissing(f"The folder of {path} is not there. Is {root} mounted?") from error
