"""Is the root still the folder it was? An unmounted Drive is an empty folder of the machine itself.

Writes into such a folder succeed and are lost with the machine; so the device and the experiment's own file
are compared before each batch of writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from drive_store.errors import StoreError, StoreUnavailable

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
        if _device(self.root) != self.device:
            raise StoreUnavailable(
                f"{self.root} is on another device than before: Drive was unmounted or mounted again. "
                "Mount it, then attach again; nothing was written."
            )
        if _sha256(self.root, self.key, read) != self.sha256:
            raise StoreUnavailable(
                f"{self.root}/{self.key} is not the file it was: the experiment was replaced. "
                "Stop, and start again on the experiment that is meant; nothing was written."
            )


def look(root: Path, key: str, read: Read) -> Sentinel:
    """Remember how the root and the sentinel look now.

    Raises:
        StoreUnavailable: the root cannot be reached, or the sentinel cannot be read.
    """
    return Sentinel(root, key, _device(root), _sha256(root, key, read))


def _device(root: Path) -> int:
    try:
        return root.stat().st_dev
    except OSError as error:
        raise StoreUnavailable(
            f"{root} cannot be reached ({error.strerror}). Mount it, or give the folder that is meant."
        ) from error


def _sha256(root: Path, key: str, read: Read) -> str:
    try:
        data = read(key, _LIMIT)
    except StoreError as error:
        raise StoreUnavailable(f"The sentinel cannot be read: {error}") from error
    if data is None:
        raise StoreUnavailable(
            f"{root}/{key} is not there. An unmounted Drive looks like an empty folder: mount it, "
            "or check that the experiment was not removed. Nothing was written."
        )
    return hashlib.sha256(data).hexdigest()
