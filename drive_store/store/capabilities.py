"""What a store guarantees, and what it was asked to do."""

from __future__ import annotations

from dataclasses import dataclass


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
