"""One shared folder through fsspec: a few operations, typed errors, and counts of what was done.

Google Drive's mount gives no atomic visibility, no mutual exclusion between machines and no consistent
listing, so the face is small: create a name once, read it whole, list a folder. Only those calls of fsspec
are used that report their errors: ``exists`` answers False to every failure, ``cat`` takes brackets in
names for patterns, and ``mv`` and ``pipe_file`` are not exclusive.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

from drive_store import sentinel
from drive_store.capabilities import LOCAL_PATH, Capabilities, Operations
from drive_store.errors import (
    FolderMissing,
    InvalidName,
    NameTaken,
    NotAFile,
    StoreUnavailable,
    TooLarge,
)
from drive_store.opening import open_file_system
from drive_store.oserrors import errors_of

__all__ = ["Capabilities", "Operations", "Store"]

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}"
_KEY = re.compile(rf"{_PART}(?:/{_PART})*")
# A twin is what Drive's mount shows for a second file of the same name. It may be read, never made.
_TWIN = r"(?: \([1-9][0-9]{0,3}\)(?:\.[A-Za-z0-9]{1,16})?)?"
_KEY_OR_TWIN = re.compile(rf"{_PART}(?:/{_PART})*{_TWIN}")
_GROWTH = 1 << 16  # bytes: a file rewritten in place may have grown since its size was asked


class Store:
    """A folder that several machines share; keys are posix paths relative to `root`.

    Nothing is made until asked. Safe to use from several threads. Every method raises a `StoreError` and no
    other error of the file system; a key that is no path below the root raises `InvalidName`.
    """

    def __init__(self, root_url: str) -> None:
        self._fs, self.root = open_file_system(root_url)
        self._root_path = Path(self.root or "/")
        self._sentinel: sentinel.Sentinel | None = None
        self._counting = threading.Lock()
        self.operations = Operations()
        self.capabilities = LOCAL_PATH

    def make_folder(self, key: str) -> None:
        """Make a folder and its parents; a folder that exists already is left as it is.

        Raises:
            NotAFile: a file has the folder's name.
            StoreError: the folder cannot be made.
        """
        path = self._path(key)
        with self._counting:
            self.operations.folders += 1
        with errors_of("make the folder", path):
            try:
                self._fs.makedirs(path, exist_ok=True)
            except FileExistsError as error:
                raise NotAFile(f"{path} is a file where a folder is needed. Move it away.") from error

    def create(self, key: str, data: bytes) -> None:
        """Write a new file; its folder must exist. A write that fails half-way leaves the name and a part.

        Raises:
            NameTaken: the name exists.
            FolderMissing: the folder is not there.
            StoreError: the write failed; publish again under another name.
        """
        path = self._path(key)
        with self._counting:
            self.operations.creates += 1
        self._write(path, "xb", data)

    def replace_copy(self, key: str, data: bytes) -> None:
        """Write a file in place, over what is there: for copies that people read, and for beats.

        A reader may meet nothing, a beginning of the new content, or the old one, so nothing may depend on
        it. Drive's mount may never upload a file that is rewritten every few seconds: wait a minute between
        two calls.

        Raises:
            FolderMissing: the folder is not there.
            StoreError: the write failed.
        """
        path = self._path(key)
        with self._counting:
            self.operations.overwrites += 1
        self._write(path, "wb", data)

    def read(self, key: str, limit: int) -> bytes | None:
        """Read a whole file of at most `limit` bytes; None when no such file is seen, which proves nothing.

        Raises:
            TooLarge: the file is larger, by what the file system says before anything is read.
            NotAFile: the name belongs to a folder, a pipe or a device.
            StoreError: the read failed.
        """
        path = self._path(key, twins=True)
        with self._counting:
            self.operations.reads += 1
        with errors_of("read", path):
            try:
                data = self._read_whole(path, limit)
            except FileNotFoundError:
                return None
        with self._counting:
            self.operations.bytes_read += len(data)
        return data

    def names(self, folder_key: str) -> list[str]:
        """List the names in a folder, sorted; [] when no such folder is seen.

        Others write into the folder too: a name is only text until a parser of `paths` accepts it.

        Raises:
            NotAFile: a file has the folder's name.
            StoreError: the folder cannot be listed.
        """
        path = self._path(folder_key)
        with self._counting:
            self.operations.lists += 1
        with errors_of("list the folder", path):
            try:
                found: list[str] = self._fs.ls(path, detail=False)
            except FileNotFoundError:
                return []
        if found == [path]:  # fsspec's answer for a file
            raise NotAFile(f"{path} is a file where a folder is expected. Move it away.")
        cut = len(path) + 1
        return sorted(name[cut:] for name in found)

    def size(self, key: str) -> int | None:
        """Ask for a file's size in bytes; None when no such file is seen."""
        path = self._path(key, twins=True)
        with self._counting:
            self.operations.sizes += 1
        with errors_of("look at", path):
            try:
                return self._file_size(path)
            except FileNotFoundError:
                return None

    def modified(self, key: str) -> float | None:
        """Ask when a file was last written, seconds since 1970 by the store's wall clock; None when not seen.

        For people: clocks differ, and nothing is decided by it.
        """
        path = self._path(key, twins=True)
        with self._counting:
            self.operations.sizes += 1
        with errors_of("look at", path):
            try:
                return float(self._fs.info(path)["mtime"])
            except FileNotFoundError:
                return None

    def remove(self, key: str) -> None:
        """Remove a file; one that is gone already is fine. On Drive it still uses space, in the trash."""
        path = self._path(key, twins=True)
        with self._counting:
            self.operations.removes += 1
        with errors_of("remove", path):
            try:
                self._fs.rm_file(path)
            except FileNotFoundError:
                return

    def remove_tree(self, key: str) -> None:
        """Remove a folder with all that is in it, whatever its names; for an experiment that is overwritten.

        Links are removed, not followed. A folder that is gone already is fine.
        """
        path = self._path(key)
        with errors_of("remove the folder", path):
            self._remove_folder(path)

    def attach(self, sentinel_key: str) -> None:
        """Remember the root's device and the sentinel's content, so that `check` can tell a change.

        Raises:
            StoreUnavailable: the root cannot be reached, or the sentinel cannot be read.
        """
        self._sentinel = sentinel.look(self._root_path, sentinel_key, self.read)

    def check(self) -> None:
        """Make sure that the root is still the folder that was attached; call it before each batch of writes.

        Raises:
            StoreUnavailable: the device changed, or the sentinel is gone, unreadable or different; or the
            store was
                never attached.
        """
        if self._sentinel is None:
            raise StoreUnavailable(f"{self.root} was not attached to an experiment: call attach() first.")
        self._sentinel.check(self.read)

    def _write(self, path: str, mode: str, data: bytes) -> None:
        with errors_of("write", path):
            try:
                with self._fs.open(path, mode) as file:
                    file.write(data)
            except FileExistsError as error:
                raise NameTaken(f"{path} exists, and a name is never written twice. Take another.") from error
            except FileNotFoundError as error:
                raise FolderMissing(f"The folder of {path} is not there. Is {self.root} mounted?") from error
        with self._counting:
            self.operations.bytes_written += len(data)

    def _read_whole(self, path: str, limit: int) -> bytes:
        # Asking for the size first also keeps us from opening a pipe, which would never answer.
        size = self._file_size(path)
        if size <= limit:
            data: bytes = self._fs.cat_file(path, 0, min(limit, size + _GROWTH) + 1)
            if len(data) <= limit:
                return data
        raise TooLarge(f"{path} is larger than the {limit} bytes that are allowed; it was not read.")

    def _file_size(self, path: str) -> int:
        info: dict[str, Any] = self._fs.info(path)
        if info["type"] != "file":
            raise NotAFile(f"{path} is a {info['type']} where a file is expected. Move it away.")
        return int(info["size"])

    def _remove_folder(self, path: str) -> None:
        try:
            entries: list[dict[str, Any]] = self._fs.ls(path, detail=True)
        except FileNotFoundError:
            return
        for entry in entries:
            if entry["type"] == "directory":
                self._remove_folder(entry["name"])
            else:
                with self._counting:
                    self.operations.removes += 1
                self._fs.rm_file(entry["name"])
        self._fs.rmdir(path)

    def _path(self, key: str, *, twins: bool = False) -> str:
        if not (_KEY_OR_TWIN if twins else _KEY).fullmatch(key):
            raise InvalidName(
                f"{key!r} is no key of the store: parts of letters, digits, '.', '_' and '-', joined by '/'."
            )
        return f"{self.root}/{key}"
