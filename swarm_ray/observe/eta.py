"""How long the rounds take, and how long those will take that are left. Pure; no guess where little is known."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from statistics import median

from swarm_ray.records.state import ExperimentState

LEAST_ROUNDS = 3
"""From fewer rounds nothing is told."""
STALLED = 10.0
"""A round that takes so many times as long as others do is held up, and nobody knows for how long."""
STALLED_LEAST_S = 5.0
"""No round counts as held up before."""


def round_seconds(seconds: Sequence[float]) -> float | None:
    """The median of the newest rounds; None where there are too few.

    Args:
        seconds: of each, from its opening to its closing.
    """
    known = [spent for spent in seconds if isfinite(spent)]
    return median(known) if len(known) >= LEAST_ROUNDS else None


def seconds_left(state: str, rounds_left: int, round_s: float | None, since_s: float | None) -> float | None:
    """Seconds until the last round will have closed.

    Args:
        state: a swarm that does not run has no end in sight.
        rounds_left: rounds that are not over, the open one among them.
        round_s: seconds that a round takes.
        since_s: seconds since the open round began; None where that is not known.

    Returns:
        None where it cannot be told: too little is known, nothing runs, or the open round is held up.
    """
    if state != ExperimentState.RUNNING or round_s is None or rounds_left <= 0:
        return None
    open_s = since_s or 0.0
    if open_s > max(STALLED * round_s, STALLED_LEAST_S):
        return None
    left_s = max(rounds_left * round_s - min(open_s, round_s), 0.0)
    return left_s if isfinite(left_s) else None
