"""What a store does to a path beyond whole small files: copies in pieces, free space, and the upload's state."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from drive_store.errors import NotAFile, TooLarge, errors_of, own_disk

CHUNK = 1 << 20
"""Bytes that are copied at a time."""
PART = ".part"
UNCOMMITTED = "user.drive.uncommitted"
_NO_ATTRIBUTE = {errno.ENODATA, errno.ENOTSUP, errno.ENOSYS, errno.EPERM}


class Moved:
    """Counts the bytes of a copy while it runs."""

    def __init__(self) -> None:
        self.bytes = 0

    def __call__(self) -> int:
        """The bytes so far."""
        return self.bytes


def make_folder(fs: Any, path: str, *, parents: bool) -> None:
    """Make a folder, with its parents if told to; one that is there already is left as it is.

    Raises:
        NotAFile: a file has the folder's name.
        OSError: from the file system.
    """
    try:
        if parents:
            fs.makedirs(path, exist_ok=True)
        else:
            fs.mkdir(path, create_parents=False)
    except FileExistsError as error:
        if fs.info(path)["type"] != "directory":
            raise NotAFile(f"{path} is a file where a folder is needed. Move it away.") from error


def too_large(path: str, limit: int) -> TooLarge:
    """The error for a file of more than `limit` bytes."""
    return TooLarge(f"{path} is larger than the {limit} bytes that are allowed; nothing of it was kept.")


def copy_in(fs: Any, source: Path, path: str, moved: Moved) -> None:
    """Copy a file of this machine to a new name in the store.

    Raises:
        StoreError: this machine's file cannot be read.
        OSError: the store failed; a part may be left under the name.
    """
    own = own_disk(source)
    with errors_of("read", own):
        local = source.open("rb")
    with local, fs.open(path, "xb") as file:
        for piece in _pieces(local, own):
            file.write(piece)
            moved.bytes += len(piece)


def copy_out(fs: Any, path: str, target: Path, limit: int, moved: Moved) -> bool:
    """Copy a file of the store to this machine, over what has the name there; nothing is left of a copy that failed.

    Returns:
        True.

    Raises:
        TooLarge: the file turns out to have more than `limit` bytes.
        FileNotFoundError: the store has no such file.
        StoreError: either side failed.
    """
    own = own_disk(target)
    with (
        fs.open(path, "rb") as file,
        errors_of("write", own),
        becoming(target) as part,
        part.open("wb") as local,
    ):
        for piece in _pieces(file, path):
            moved.bytes += len(piece)
            if moved.bytes > limit:
                raise too_large(path, limit)
            local.write(piece)
    return True


@contextmanager
def becoming(target: Path) -> Iterator[Path]:
    """A path on this machine's own disk to write to, which replaces `target`; nothing is left of what fails.

    Raises:
        OSError: from the file system.
    """
    part = target.with_name(target.name + PART)
    try:
        yield part
        part.replace(target)
    finally:
        with suppress(OSError):  # a part that stays is overwritten by the next one
            part.unlink(missing_ok=True)


def _pieces(file: Any, path: str) -> Iterator[bytes]:
    with errors_of("read", path):
        while piece := file.read(CHUNK):
            yield piece


def upload_state(path: str) -> bool | None:
    """Ask Drive's mount whether a file has been uploaded.

    The mount gives every file an extended attribute, "1" while its content is on this machine only and "0" once it is
    in the cloud. Google's own scripts for ChromeOS wait for that; on Colab it is unverified.

    Returns:
        None without that attribute: nothing is known then.

    Raises:
        FileNotFoundError: the file is not there.
        OSError: the file system failed.
    """
    try:
        value = os.getxattr(path, UNCOMMITTED)
    except OSError as error:
        if error.errno in _NO_ATTRIBUTE:
            return None
        raise
    return {b"0": True, b"1": False}.get(value.strip(b"\0 \n"))


def write_durably(path: Path, data: bytes) -> None:
    """Write a file of this machine's own disk, whole or not at all; a loss of power does not lose it.

    Raises:
        OSError: from the file system.
    """
    with becoming(path) as part, part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder of this machine's own disk survive a loss of power.

    Raises:
        OSError: from the file system.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
