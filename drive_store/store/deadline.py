"""Calls that end in time although the file system does not answer: a mount that hangs hangs in the kernel.

A thread that waits there can be neither woken nor ended. So each call runs in a helper thread; its caller waits for
a limited time, and a helper that hangs is left behind. Helpers are used again and again by all stores of the process.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

DEADLINE_S = 150.0
"""Seconds that a call may take unless a store is told otherwise; Drive's mount itself gives up a listing after 120."""
MOST_HANGING = 8
"""Helpers of one store that may hang; while so many do, its calls fail at once."""
_MOST_IDLE = 16


class _Call(Future[T]):
    """One piece of work, and what came of it."""

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__()
        self.work = work


class _Helper(threading.Thread):
    """Works off calls, one at a time, until it is given None."""

    def __init__(self) -> None:
        super().__init__(name="drive-store", daemon=True)
        self.calls: SimpleQueue[_Call[Any] | None] = SimpleQueue()
        self.start()

    def run(self) -> None:
        """Work."""
        for call in iter(self.calls.get, None):
            try:
                call.set_result(call.work())
            except BaseException as error:  # noqa: BLE001  (whatever it is, the caller raises it)
                call.set_exception(error)
            del call  # an error's traceback leads here: with the call it would be a circle


_idle: list[_Helper] = []
os.register_at_fork(after_in_child=_idle.clear)


class Deadline:
    """Bounds the calls of one store.

    Args:
        seconds: how long a call may take, or go without progress.
    """

    def __init__(self, seconds: float = DEADLINE_S) -> None:
        self.seconds = seconds
        self._hanging: set[_Call[Any]] = set()

    def call(self, work: Callable[[], T], progress: Callable[[], int] = int) -> T:
        """Do a piece of work within the deadline; a call within a call shares the outer one's.

        Args:
            work: runs in another thread, and may end there long after it was given up.
            progress: counts what was done. While it grows the work may continue; it is looked at once per deadline.
                `int` counts nothing.

        Returns:
            What the work returns; what it raises is raised.

        Raises:
            TimeoutError: no answer came in time, or so many earlier calls hang that this one was not begun.
        """
        if isinstance(threading.current_thread(), _Helper):
            return work()
        if len(self._hanging) >= MOST_HANGING:
            raise TimeoutError(errno.ETIMEDOUT, f"{MOST_HANGING} earlier calls still hang in the file system")
        call, helper = _Call(work), _idle_helper()
        helper.calls.put(call)
        try:
            self._wait(call, progress)
        except BaseException:  # an interrupt, too: the helper ends when it has done what it does
            helper.calls.put(None)
            raise
        if len(_idle) < _MOST_IDLE:
            _idle.append(helper)
        else:
            helper.calls.put(None)
        try:
            return call.result()
        finally:
            del call  # see `_Helper.run`

    def _wait(self, call: _Call[T], progress: Callable[[], int]) -> None:
        """Return when the call has ended; raise when it hangs."""
        before = progress()
        while not wait([call], self.seconds).done:
            after = progress()
            if after == before:
                self._hanging.add(call)
                call.add_done_callback(self._hanging.discard)
                raise TimeoutError(
                    errno.ETIMEDOUT, f"the file system did not answer within {self.seconds:g} s"
                )
            before = after


def _idle_helper() -> _Helper:
    """An idle helper, or a new one."""
    try:
        return _idle.pop()
    except IndexError:
        return _Helper()
