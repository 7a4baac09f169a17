"""Where the time of a round goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

PHASES = ("sample", "generate", "score", "publish", "wait", "gather", "select", "update", "report", "other")
OVERHEAD = ("publish", "gather", "select", "report", "other")
"""What a swarm costs beyond training alone; waiting for other nodes is counted apart."""


class PhaseClock:
    """Seconds spent per phase since the last `take`; what no phase claims is `other`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._seconds: dict[str, float] = {}
        self.current = "starting"
        """The phase under way, or the last one."""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time until the block ends as `name`."""
        began, self.current = self._clock(), name
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + self._clock() - began

    def take(self) -> dict[str, float]:
        """Seconds per phase, summing to the whole time since the last call, and a fresh start."""
        now = self._clock()
        seconds, whole = self._seconds, now - self._began
        self._seconds, self._began = {}, now
        seconds["other"] = max(0.0, whole - sum(seconds.values()))
        return {name: seconds.get(name, 0.0) for name in PHASES}
