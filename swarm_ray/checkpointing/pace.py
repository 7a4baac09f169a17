"""When the next checkpoint is due: every so many rounds, or as often as it costs little."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

SHARE = 0.02
"""Of the trainer's time that checkpoints may cost under `checkpoint.every=auto`."""


class CheckpointPace:
    """Decides after each round, for all nodes of a trainer together.

    Args:
        every: rounds between two checkpoints, or "auto".
        clock: seconds that never go back.
    """

    def __init__(self, every: int | Literal["auto"], clock: Callable[[], float]) -> None:
        self._every, self._clock = every, clock
        self._rounds = 0
        self._last: float | None = None
        self._cost = 0.0

    def round_ended(self) -> None:
        """Count a round."""
        self._rounds += 1

    def spent(self, seconds: float) -> None:
        """Count what checkpoints cost: what the trainer waited, and the CPU time of the threads beside it."""
        self._cost += seconds

    @property
    def due(self) -> bool:
        """Whether a checkpoint should be taken now; the first one always should."""
        if self._every != "auto":
            return self._rounds >= self._every
        return self._last is None or self._clock() - self._last >= self._cost / SHARE

    def taken(self) -> None:
        """A checkpoint was begun: rounds, time and cost count from here."""
        self._rounds, self._last, self._cost = 0, self._clock(), 0.0
