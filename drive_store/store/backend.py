"""A store's root: opening it by URL, what it guarantees, and whether it is still the same.

This version knows local paths; a mounted Drive is one. An unmounted Drive is an empty folder of the machine itself:
writes into such a folder succeed and are lost with the machine. So the device and the experiment's own file, the
sentinel, are compared before each batch of writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drive_store.errors import StoreError, StoreUnavailable, UnsupportedStore


@dataclass(frozen=True)
class Capabilities:
    """What a store guarantees; code asks these values, and never the name of the store."""

    create_if_absent: bool
    """Of several creations of one name exactly one succeeds. On a path this holds within one machine only."""
    atomic_visibility: bool
    """A reader sees a new file whole or not at all."""
    strong_listing: bool
    """A listing shows every file whose creation has ended."""
    upload_probe: bool
    """The store can say whether a file has left this machine. A path is not known to until one of its files did:
    Drive's mount marks its files, and other folders do not."""


LOCAL_PATH = Capabilities(
    create_if_absent=True,
    # A path may be a mount of Drive, so the weaker answer is the honest one.
    atomic_visibility=False,
    strong_listing=False,
    upload_probe=False,
)


@dataclass
class Operations:
    """How often a store was asked for what, failed calls included; bytes count finished transfers."""

    creates: int = 0
    overwrites: int = 0
    reads: int = 0
    lists: int = 0
    sizes: int = 0
    probes: int = 0
    """Questions about free space and about uploads."""
    removes: int = 0
    folders: int = 0
    bytes_written: int = 0
    bytes_read: int = 0


def open_file_system(root_url: str) -> tuple[Any, str]:
    """Open the file system that a URL names.

    Returns:
        The fsspec file system, and the root's absolute path without a slash at its end.

    Raises:
        UnsupportedStore: the URL is not a path of this machine.
    """
    # Here and not above: fsspec takes a tenth of a second, which those who only parse names need not pay.
    from fsspec.core import split_protocol, url_to_fs

    protocol = split_protocol(root_url)[0] or "file"
    if not root_url or "::" in root_url or "\0" in root_url or protocol not in {"file", "local"}:
        raise UnsupportedStore(
            f"{root_url!r} cannot be used as a store: this version knows local paths only, and a mounted "
            "Google Drive is one. Give a path such as /content/drive/MyDrive/swarm."
        )
    # An instance of our own: a transaction opened on fsspec's shared one must not hold our writes back.
    fs, root = url_to_fs(root_url, skip_instance_cache=True)
    return fs, str(root).rstrip("/")


_LIMIT = 1 << 20  # bytes

Read = Callable[[str, int], bytes | None]
"""`Store.read`: a key and a limit in bytes to a file's content."""


@dataclass(frozen=True)
class Sentinel:
    """What the root looked like when the store was attached."""

    root: Path
    key: str
    device: int
    sha256: str

    def check(self, read: Read) -> None:
        """Compare with what is there now; one stat and one small read.

        Raises:
            StoreUnavailable: the device changed, or the sentinel is gone, unreadable or different.
        """
        if _device(self.root) != self.device:  # first: of an unmounted Drive the sentinel is missing too
            raise StoreUnavailable(
                f"{self.root} is on another device than before: Drive was unmounted or mounted again. "
                "Mount it, then attach again; nothing was written."
            )
        if remember(self.root, self.key, read).sha256 != self.sha256:
            raise StoreUnavailable(
                f"{self.root}/{self.key} is not the file it was: the experiment was replaced. "
                "Stop, and start again on the experiment that is meant; nothing was written."
            )


def remember(root: Path, key: str, read: Read) -> Sentinel:
    """Remember how the root and the sentinel look now.

    Raises:
        StoreUnavailable: the root cannot be reached, or the sentinel cannot be read.
    """
    device = _device(root)
    try:
        data = read(key, _LIMIT)
    except StoreError as error:
        raise StoreUnavailable(f"The sentinel cannot be read: {error}") from error
    if data is None:
        raise StoreUnavailable(
            f"{root}/{key} is not there. An unmounted Drive looks like an empty folder: mount it, "
            "or check that the experiment was not removed. Nothing was written."
        )
    return Sentinel(root, key, device, hashlib.sha256(data).hexdigest())


def _device(root: Path) -> int:
    try:
        return root.stat().st_dev
    except OSError as error:
        raise StoreUnavailable(
            f"{root} cannot be reached ({error.strerror}). Mount it, or give the folder that is meant."
        ) from error
