"""A value that an actor keeps on this machine's own disk, so that a restart finds it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from drive_store import UNREADABLE, StoreFull


class LocalJson:
    """One JSON file, replaced as a whole: a process that is killed leaves the value before or the one after.

    Args:
        path: on the machine's own disk; None keeps nothing.
        kind: the type of the value.
    """

    def __init__(self, path: Path | None, kind: Any) -> None:
        self._path, self._kind = path, kind
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)

    def load(self) -> Any:
        """The value; None when there is none, or it is of another version's shape."""
        if self._path is None or not self._path.exists():
            return None
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=self._kind)
        except UNREADABLE:
            return None

    def save(self, value: Any) -> None:
        """Keep `value` in place of the one before.

        Raises:
            StoreFull: the machine's own disk does not take it.
        """
        if self._path is None:
            return
        half = self._path.with_suffix(".half")
        try:
            half.write_bytes(msgspec.json.encode(value))
            half.replace(self._path)
        except OSError as error:
            raise StoreFull(
                f"{self._path} cannot be written: {error}. Free some space on this machine's disk."
            ) from error
