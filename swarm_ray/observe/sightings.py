"""When something was last seen to change: on this machine's own clock, once it has been seen to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class _Sighting:
    mark: object
    at: float
    age_then: float | None
    """By wall clocks when it was first seen; 0 for a change that was seen."""
    changed: bool


class Sightings:
    """Judges silence by change, as everywhere; what has not changed yet is as old as wall clocks say.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[str, _Sighting] = {}

    def note(self, key: str, mark: object, age: Callable[[], float | None]) -> None:
        """Take note of a look.

        Args:
            key: what was looked at.
            mark: differs when it has changed.
            age: seconds since it was written, by wall clocks; asked at the first sight alone.
        """
        known = self._seen.get(key)
        if known is None:
            self._seen[key] = _Sighting(mark, self._clock(), age(), changed=False)
        elif known.mark != mark:
            self._seen[key] = _Sighting(mark, self._clock(), 0.0, changed=True)

    def silence(self, key: str) -> float | None:
        """Seconds since it changed; None where that is not known."""
        known = self._seen.get(key)
        if known is None or known.age_then is None:
            return None
        return max(0.0, self._clock() - known.at) + known.age_then

    def by_clocks(self, key: str) -> bool:
        """Whether `silence` rests on wall clocks, which differ between machines."""
        known = self._seen.get(key)
        return known is not None and not known.changed
