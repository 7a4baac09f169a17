"""A thread that does one job after the other beside the rounds, and what it found wrong, said once."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable

from swarm_ray.errors import CheckpointError

Report = Callable[[str, str], None]
"""Called with a node and what is wrong with its checkpoints, or works again; from whichever thread found it."""


class Background:
    """One daemon thread: a process can always end, although the disk or the folder never answers.

    A job deals with the failures it can meet; any other ends the thread, and the next call says so.

    Args:
        name: of the thread, for people.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._working = False
        self._closed = False
        self._ended_by: BaseException | None = None
        self._cpu_s = 0.0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, job: Callable[[], None]) -> None:
        """Let the thread do a job after those it has.

        Raises:
            CheckpointError: the thread has ended.
        """
        with self._changed:
            if self._ended_by is not None or self._closed:
                raise CheckpointError(
                    f"the {self._name} thread has ended: {self._ended_by or 'it was closed'}"
                ) from self._ended_by
            self._jobs.append(job)
            self._changed.notify_all()

    @property
    def idle(self) -> bool:
        """Whether all jobs are done."""
        with self._changed:
            return not self._thread.is_alive() or not (self._working or self._jobs)

    def wait_idle(self, within_s: float) -> bool:
        """Wait until all jobs are done, or the thread has ended; False when that takes too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self.idle, timeout=max(0.0, within_s))

    def take_cpu_s(self) -> float:
        """CPU seconds of the jobs that ended since the last call."""
        with self._changed:
            taken, self._cpu_s = self._cpu_s, 0.0
        return taken

    def close(self) -> None:
        """End the thread after the job at hand, without those that wait; harmless when repeated."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            while (job := self._next()) is not None:
                began = time.thread_time()
                job()
                with self._changed:
                    self._cpu_s += time.thread_time() - began
        finally:
            with self._changed:
                self._ended_by, self._working = sys.exception(), False
                self._jobs.clear()
                self._changed.notify_all()

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            self._working = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: bool(self._jobs) or self._closed)
            if self._closed:
                return None
            self._working = True
            return self._jobs.popleft()


class Problems:
    """Tells each trouble of a node when it begins, changes its kind, or ends; safe from several threads.

    Args:
        report: takes what is to be told.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._told: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def trouble(self, node: str, what: str, kind: str, text: str) -> None:
        """Something does not work.

        Args:
            node: whose.
            what: what does not ("upload", say).
            kind: trouble of the same kind as the last is not told again.
            text: for people.
        """
        with self._lock:
            changed = self._told.get((node, what)) != kind
            self._told[node, what] = kind
        if changed:
            self._report(node, text)

    def well(self, node: str, what: str) -> None:
        """It works, or works again."""
        with self._lock:
            changed = self._told.pop((node, what), None) is not None
        if changed:
            self._report(node, f"the {what} works again")
