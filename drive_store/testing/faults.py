"""A store in which faults can be switched on while it is in use, from this process or from another."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from drive_store.errors import StoreDenied, StoreFull, StoreUnavailable
from drive_store.store.deadline import DEADLINE_S
from drive_store.store.store import Store, writing

T = TypeVar("T")
_WRITING = {"write", "make the folder"}


class Faults(msgspec.Struct, forbid_unknown_fields=True):
    """What goes wrong from now on; a control file holds these fields as JSON."""

    unavailable: bool = False
    """Every call raises `StoreUnavailable`."""
    full: bool = False
    """Writes raise `StoreFull`."""
    denied: bool = False
    """Writes raise `StoreDenied`."""
    lose: int = 0
    """So many of the next creations succeed without a file."""
    tear: int = 0
    """So many of the next creations succeed with half of the file."""
    hang_s: float = 0
    """Seconds that every call takes longer; the deadline applies."""
    delay_s: float = 0
    """Seconds for which a file that another store wrote is not seen."""
    delay_looks: int = 0
    """So many looks at a file that another store wrote do not find it."""


class FaultyStore(Store):
    """A store with faults; without any it is a store like others.

    Args:
        root_url: the folder.
        control: a JSON file with `Faults`. It is read again when it changes; without it, `faults` hold as they
            were set in this process. Counts of it hold for each process that reads it.
        deadline_s: as of `Store`.
        sleep: waits for so many seconds.
        wall: seconds since 1970, to be compared with the times of files.
    """

    def __init__(
        self,
        root_url: str,
        control: Path | None = None,
        *,
        deadline_s: float = DEADLINE_S,
        sleep: Callable[[float], object] = time.sleep,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(root_url, deadline_s=deadline_s)
        self.faults = Faults()
        self._control, self._sleep, self._wall = control, sleep, wall
        self._control_time = -1
        self._known: set[str] = set()  # keys this store wrote or has once seen
        self._looks: dict[str, int] = {}

    def create(self, key: str, data: bytes) -> None:
        """Create; or lose or tear what is created."""
        if not self._loses(key):
            faults = self._now()
            torn = faults.tear > 0
            faults.tear -= torn
            super().create(key, data[: len(data) // 2] if torn else data)
        self._known.add(key)

    def replace_copy(self, key: str, data: bytes) -> None:
        """Replace; what this store writes it sees at once."""
        super().replace_copy(key, data)
        self._known.add(key)

    def put_file(self, key: str, path: Path) -> None:
        """Copy in; or lose it."""
        if not self._loses(key):
            super().put_file(key, path)
        self._known.add(key)

    def read(self, key: str, limit: int) -> bytes | None:
        """Read what is visible."""
        data = super().read(key, limit) if self._visible(key) else None
        if data is not None:
            self._known.add(key)
        return data

    def get_file(self, key: str, path: Path, limit: int) -> bool:
        """Copy out what is visible."""
        return self._visible(key) and super().get_file(key, path, limit)

    def size(self, key: str) -> int | None:
        """Look at what is visible."""
        return super().size(key) if self._visible(key) else None

    def names(self, folder_key: str) -> list[str]:
        """List what is visible."""
        names = [name for name in super().names(folder_key) if self._visible(f"{folder_key}/{name}")]
        self._known.update(f"{folder_key}/{name}" for name in names)
        return names

    def _do(self, doing: str, path: str, work: Callable[[], T], moved: Callable[[], int] = int) -> T:
        faults = self._now()
        writes = doing in _WRITING
        for wrong, kind, what in (
            (faults.unavailable, StoreUnavailable, "unavailable"),
            (faults.full and writes, StoreFull, "full"),
            (faults.denied and writes, StoreDenied, "read-only"),
        ):
            if wrong:
                raise kind(f"Could not {doing} {path}: the store was made {what} for a test.")

        def late() -> T:
            if faults.hang_s:
                self._sleep(faults.hang_s)
            return work()

        return super()._do(doing, path, late, moved)

    def _now(self) -> Faults:
        """The faults as they are, from the control file if that has changed."""
        if self._control is not None and self._control.exists():
            changed = self._control.stat().st_mtime_ns
            if changed != self._control_time:
                self._control_time = changed
                self.faults = msgspec.json.decode(self._control.read_bytes(), type=Faults)
        return self.faults

    def _loses(self, key: str) -> bool:
        """Do as if a file were created, if one is to be lost."""
        if self._now().lose <= 0:
            return False
        self.faults.lose -= 1
        path = Path(self._asked("creates", key))

        def look() -> None:
            with writing(str(path), self.root):
                if path.exists():
                    raise FileExistsError(errno.EEXIST, "it is there", str(path))
                path.parent.stat()

        self._do("write", str(path), look)
        return True

    def _visible(self, key: str) -> bool:
        faults = self._now()
        path = Path(self.root) / key
        if key in self._known or not (faults.delay_s or faults.delay_looks) or not path.is_file():
            return True
        self._looks[key] = self._looks.get(key, 0) + 1
        late = self._looks[key] <= faults.delay_looks or self._wall() - path.stat().st_mtime < faults.delay_s
        if not late:
            self._known.add(key)
        return not late
