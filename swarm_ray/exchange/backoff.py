"""Polling a folder: often just after a change, with growing pauses while nothing changes."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Pauses between looks: `shortest` after `changed`, then longer by a tenth each time, up to `longest`.

    Args:
        shortest: seconds.
        longest: seconds.
        sleep: waits for so many seconds.
    """

    def __init__(self, shortest: float, longest: float, sleep: Callable[[float], object]) -> None:
        self._shortest, self._longest, self._sleep = shortest, longest, sleep
        self._next = shortest

    def changed(self) -> None:
        """Something was found: look soon again."""
        self._next = self._shortest

    def pause(self, at_most: float | None = None) -> None:
        """Wait until the next look, `at_most` seconds."""
        self._sleep(self._next if at_most is None else max(0.0, min(self._next, at_most)))
        self._next = min(self._next * 1.1, self._longest)
