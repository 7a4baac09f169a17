"""Cancelling a trainer: the wish to stop reaches the longest loops, and what they do is counted on the way."""

from __future__ import annotations

import threading

from swarm_ray.errors import StopRequested


class Cancellation:
    """Checked at every token that is decoded, every pass of an update and every look at the folder.

    `progress` tells a slow trainer from one that hangs.
    """

    def __init__(self) -> None:
        self.progress = 0
        self._cancelled = threading.Event()

    def check(self) -> None:
        """Count one more thing done.

        Raises:
            StopRequested: the worker was told to stop.
        """
        self.progress += 1
        if self._cancelled.is_set():
            raise StopRequested("told to stop")

    def pause(self, seconds: float) -> None:
        """Wait, and return at once when the worker is told to stop.

        Raises:
            StopRequested: it was told to.
        """
        self._cancelled.wait(seconds)
        self.check()

    def cancel(self) -> None:
        """Let the next check raise; harmless when repeated."""
        self._cancelled.set()


def never_cancelled() -> None:
    """The check of a policy that nobody stops."""
