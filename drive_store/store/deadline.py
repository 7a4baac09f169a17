"""Calls that end in time although the file system does not answer: a mount that hangs hangs in the kernel.

A thread that waits there can be neither woken nor ended. So each call runs in a helper thread; its caller waits for
a limited time, and a helper that hangs is left behind. Helpers are used again and again by all stores of the process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import TracebackType
from typing import Generic, TypeVar

from drive_store.errors import StoreUnavailable

T = TypeVar("T")

DEADLINE_S = 150.0
"""Seconds that a call may take unless a store is told otherwise; Drive's mount itself gives up a listing after 120."""
MOST_HANGING = 8
"""Helpers of one store that may hang; while so many do, its calls fail at once."""
_MOST_IDLE = 16


class _Call(Generic[T]):
    """One piece of work and what came of it; as a context it keeps whatever is raised, for the caller to raise."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.work = work
        self.values: list[T] = []
        self.error: BaseException | None = None
        self.pending = threading.Lock()
        self.pending.acquire()

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Keep the error."""
        self.error = error
        return True

    def run(self) -> None:
        """Do the work."""
        with self:
            self.values.append(self.work())

    def result(self) -> T:
        """What the work returned, or raise what it raised."""
        if self.error is None:
            return self.values[0]
        try:
            raise self.error
        finally:
            self.error = (
                None  # its traceback leads back here: a circle that would live until the next collection
            )


class _Helper(threading.Thread):
    """Works off calls, one at a time."""

    def __init__(self) -> None:
        super().__init__(name="drive-store", daemon=True)
        self.calls: SimpleQueue[_Call[object]] = SimpleQueue()
        self.start()

    def run(self) -> None:
        """Work until there are enough other helpers."""
        staying = True
        while staying:
            call = self.calls.get()
            call.run()
            staying = len(_idle) < _MOST_IDLE
            if staying:
                _idle.append(self)  # before the caller wakes, so that its next call finds this helper
            call.pending.release()
            del call


_idle: list[_Helper] = []
os.register_at_fork(after_in_child=_idle.clear)


class Deadline:
    """Bounds the calls of one store.

    Args:
        seconds: how long a call may take, or go without progress.
    """

    def __init__(self, seconds: float = DEADLINE_S) -> None:
        self.seconds = seconds
        self._hanging: list[_Call[object]] = []
        self._listing = threading.Lock()

    def call(
        self, doing: str, path: str, work: Callable[[], T], progress: Callable[[], int] | None = None
    ) -> T:
        """Do a piece of work within the deadline; a call within a call shares the outer one's.

        Args:
            doing: the verb, as in "could not <doing> <path>".
            path: what it is done to.
            work: runs in another thread, and may end there long after it was given up.
            progress: counts what was done. While it grows the work may continue; it is looked at once per deadline.

        Returns:
            What the work returns; what it raises is raised.

        Raises:
            StoreUnavailable: no answer came in time, or so many earlier calls hang that this one was not begun.
        """
        if isinstance(threading.current_thread(), _Helper):
            return work()
        self._require_hope(doing, path)
        call = _Call(work)
        _helper().calls.put(call)  # type: ignore[arg-type]  # a helper works off calls of every type
        before = -1 if progress is None else progress()
        while not call.pending.acquire(timeout=self.seconds):
            after = before if progress is None else progress()
            if after == before:
                with self._listing:
                    self._hanging.append(call)  # type: ignore[arg-type]
                raise StoreUnavailable(
                    f"Could not {doing} {path}: the file system did not answer within {self.seconds:g} s. "
                    "If it stays so, mount the folder again."
                )
            before = after
        return call.result()

    def _require_hope(self, doing: str, path: str) -> None:
        """Refuse to begin another call while so many hang."""
        if not self._hanging:
            return
        with self._listing:
            self._hanging = [call for call in self._hanging if call.pending.locked()]
            if len(self._hanging) >= MOST_HANGING:
                raise StoreUnavailable(
                    f"Could not {doing} {path}: {MOST_HANGING} earlier calls still hang in the file system. "
                    "Mount the folder again."
                )


def _helper() -> _Helper:
    """An idle helper, or a new one."""
    try:
        return _idle.pop()
    except IndexError:
        return _Helper()
