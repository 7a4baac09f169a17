"""From a root's URL to fsspec's file system, what it guarantees, and which keys become its paths.

This version knows local paths; a mounted Drive is one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from drive_store.errors import InvalidName, UnsupportedStore


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


_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}"
_KEY = re.compile(rf"{_PART}(?:/{_PART})*")
# A twin is what Drive's mount shows for a second file of the same name. It may be read, never made.
_TWIN = r"(?: \([1-9][0-9]{0,3}\)(?:\.[A-Za-z0-9]{1,16})?)?"
_KEY_OR_TWIN = re.compile(rf"{_PART}(?:/{_PART})*{_TWIN}")


def require_key(key: str, *, twins: bool = False) -> str:
    """Return a key that was checked.

    Args:
        key: the key.
        twins: accept the name of a twin too.

    Raises:
        InvalidName: no path is built from it.
    """
    if not (_KEY_OR_TWIN if twins else _KEY).fullmatch(key):
        raise InvalidName(
            f"{key!r} is not a valid key: use parts of letters, digits, '.', '_' and '-', joined by '/'."
        )
    return key


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
