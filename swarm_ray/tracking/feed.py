"""Hands figures to trackers without holding up whoever brings them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from swarm_ray.tracking.tracker import Tracked, Tracker, TrackerFailed


class TrackerFeed:
    """A thread that gives figures to every tracker, one after another.

    A tracker that fails is told once and gets no more of them until its process starts again: what it missed is in the
    experiment's own logs.

    Args:
        trackers: what is fed.
        tell: takes one line about a tracker that failed; called from the thread.
    """

    def __init__(self, trackers: Sequence[Tracker], tell: Callable[[str], None]) -> None:
        self._trackers, self._tell = list(trackers), tell
        self._told: SimpleQueue[Tracked | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._feed, name="trackers", daemon=True)
        if self._trackers:
            self._thread.start()

    def log(self, told: Tracked) -> None:
        """Take figures; returns at once."""
        if self._trackers and told.figures:
            self._told.put(told)

    def is_empty(self) -> bool:
        """Whether nothing waits; the last that was taken may still be on its way."""
        return self._told.empty()

    def close(self, within_s: float) -> bool:
        """Close every tracker when it has had its figures; harmless when repeated.

        Returns:
            False when that was not done in time; it goes on in the background then.
        """
        if self._thread.ident is None:
            return True
        self._told.put(None)
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def _feed(self) -> None:
        failed = list[Tracker]()
        while (told := self._told.get()) is not None:
            for tracker in [tracker for tracker in self._trackers if tracker not in failed]:
                try:
                    tracker.log(told)
                except TrackerFailed as error:
                    failed.append(tracker)
                    self._tell(f"{tracker.name}: {error}; it is given nothing more until the next start")
        for tracker in self._trackers:
            try:
                tracker.close()
            except TrackerFailed as error:
                if tracker not in failed:
                    self._tell(f"{tracker.name}: {error}")
