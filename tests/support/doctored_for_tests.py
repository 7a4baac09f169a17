"""Two machines in one process, on one made-up clock, and the ways in which each may see the folder of both."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from drive_store import NameTaken, StoreUnavailable
from drive_store.doctor import Findings, Means, examine
from drive_store.testing import FaultyStore

MORNING = 1_800_000_000.0
"""Seconds since 1970 at which the made-up clock begins."""


class Turns:
    """One clock for several threads: one of them runs at a time, and time passes only where all of them sleep."""

    def __init__(self) -> None:
        self.now = 0.0
        self._wakes: dict[threading.Thread, float] = {}
        self._turn = threading.Condition()

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        return MORNING + self.now

    def sleep(self, seconds: float) -> None:
        with self._turn:
            self._wakes[threading.current_thread()] = self.now + max(seconds, 0.001)
            self._next()

    def run(self, *works: Callable[[], object]) -> None:
        """Do all works to their ends; the first error of one is raised."""
        errors: list[BaseException] = []
        threads = [threading.Thread(target=self._work, args=(work, errors), daemon=True) for work in works]
        self._wakes.update({thread: self.now + n / 1000 for n, thread in enumerate(threads)})
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "it does not end"
        if errors:
            raise errors[0]

    def _work(self, work: Callable[[], object], errors: list[BaseException]) -> None:
        me = threading.current_thread()
        with self._turn:
            self._turn.wait_for(lambda: self._first() is me)
            self.now = max(self.now, self._wakes[me])
        try:
            work()
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001
            errors.append(error)
        with self._turn:
            del self._wakes[me]
            self._turn.notify_all()

    def _next(self) -> None:
        me = threading.current_thread()
        self._turn.notify_all()
        assert self._turn.wait_for(lambda: self._first() is me, 60), "no process continues"
        self.now = max(self.now, self._wakes[me])

    def _first(self) -> threading.Thread:
        return min(self._wakes, key=self._wakes.__getitem__)


class View(FaultyStore):
    """The folder as one machine sees it; without faults it sees everything at once.

    `faults` are those of `FaultyStore`; the times of files are those of the made-up clock.
    """

    def __init__(self, root: str, turns: Turns) -> None:
        super().__init__(root, wall=turns.wall, sleep=turns.sleep)
        self._turns = turns
        self.spoil_at: dict[int, str] = {}  # by number of creation: "lose" or "tear"
        self.stale_s = 0.0  # for so long the old content of a file that was written over is seen
        self.mixes = False  # a file that was written over is first seen as a mixture of both contents
        self.ghost_s = 0.0  # for so long a file that was removed is seen and listed
        self.listing_s = (
            0.0  # so much later than seen a file is listed, but for registrations: machines meet by them
        )
        # Of the other machine's files, or those of them whose name begins so:
        self.grows = False  # they are empty at the first look, and half of themselves at the second
        self.flips = ""  # they have a changed byte
        self.fails_at = ""  # the first look at them fails
        self.forgets = ""  # they are not seen after they were read
        self.twins = False  # their names can be created a second time
        self._created = 0
        self._own: set[str] = set()
        self._times: dict[str, int] = {}
        self._last: dict[str, bytes] = {}
        self._changed: dict[str, float] = {}

    def create(self, key: str, data: bytes) -> None:
        spoil = self.spoil_at.get(self._created)
        if spoil:
            setattr(self.faults, spoil, 1)
        self._created += 1
        try:
            super().create(key, data)
        except NameTaken:
            if not self.twins or key in self._own:
                raise
            key = f"{key[:-4]} (1){key[-4:]}"
            Path(self.root, key).write_bytes(data)
        self._stamp(key)

    def replace_copy(self, key: str, data: bytes) -> None:
        super().replace_copy(key, data)
        self._stamp(key)

    def read(self, key: str, limit: int) -> bytes | None:
        data = super().read(key, limit)
        if key in self._own:
            return data
        name = key.rpartition("/")[2]
        if data and self.fails_at and name.startswith(self.fails_at) and key not in self._times:
            self._times[key] = 1
            raise StoreUnavailable(f"{key} cannot be reached, for a test")
        if data and self.forgets and name.startswith(self.forgets):
            self._times[key] = self._times.get(key, 0) + 1
            data = data if self._times[key] == 1 else None
        if data and self.flips and name.startswith(self.flips):
            data = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
        if data is not None and self.grows:
            times = self._times[key] = self._times.get(key, 0) + 1
            data = {1: b"", 2: data[: len(data) // 2]}.get(times, data)
        return self._behind(key, data)

    def size(self, key: str) -> int | None:
        size = super().size(key)
        return size if size is not None or not self._is_ghost(key) else len(self._last[key])

    def names(self, folder_key: str) -> list[str]:
        names = super().names(folder_key)
        shown = [name for name in names if self._is_listed(f"{folder_key}/{name}")]
        gone = [key for key in self._last if key.startswith(f"{folder_key}/") and self._is_ghost(key)]
        return sorted({*shown, *({key.rpartition("/")[2] for key in gone} - {*names})})

    def remove(self, key: str) -> None:
        if self.ghost_s and key in self._own:
            self._last[key] = super().read(key, 100_000) or b""
        super().remove(key)
        self._changed[key] = self._turns.now
        self._own.discard(key)

    def _stamp(self, key: str) -> None:
        self._own.add(key)
        path = Path(self.root, key)
        if path.exists():
            os.utime(path, (self._wall(), self._wall()))

    def _is_listed(self, key: str) -> bool:
        path = Path(self.root, key)
        at_once = key in self._own or path.name.startswith("machine.") or not path.is_file()
        return at_once or self._wall() - path.stat().st_mtime >= self.listing_s

    def _behind(self, key: str, data: bytes | None) -> bytes | None:
        """What was there before, for as long as this machine does not know better."""
        before = self._last.get(key)
        if before and data != before and (self.stale_s or self.mixes or self.ghost_s):
            since = self._changed.setdefault(key, self._turns.now)
            if data is None:
                return before if self._turns.now - since < self.ghost_s else None
            if self._turns.now - since < self.stale_s:
                return before
            if self.mixes:
                self.mixes = False
                return before[:10] + data[10:]
        if data is not None:
            self._last[key] = data
        return data

    def _is_ghost(self, key: str) -> bool:
        gone = key in self._last and not Path(self.root, key).exists()
        return gone and self._turns.now - self._changed.setdefault(key, self._turns.now) < self.ghost_s


def means(turns: Turns, **others: object) -> Means:
    """The made-up clock of a machine; by default it is no known machine, and tells nobody."""
    clocks = {"clock": turns.clock, "wall": turns.wall, "sleep": turns.sleep}
    return Means(**{"machine": "", **clocks, **others})  # type: ignore[arg-type]


def together(
    turns: Turns,
    *views: View,
    rounds: int = 4,
    wait_s: float = 900.0,
    said: list[str] | None = None,
    machine: str = "",
) -> list[Findings]:
    """What machines find that start the doctor at once with the name `pair`; each is another, or all are `machine`."""
    found: dict[int, Findings] = {}

    def one(number: int) -> None:
        say = (said if said is not None else []).append
        here = means(turns, say=say, machine=machine or f"machine {number}")
        found[number] = examine(views[number], pair_name="pair", rounds=rounds, wait_s=wait_s, means=here)

    turns.run(*(lambda number=number: one(number) for number in range(len(views))))  # type: ignore[misc]
    return [found[number] for number in range(len(views))]


def left_in(root: Path) -> list[str]:
    """The files in a folder, but for the reports of doctors."""
    files = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith("report-")]
    return sorted(str(path.relative_to(root)) for path in files)
