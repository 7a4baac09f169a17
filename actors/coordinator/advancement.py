"""When a stage is over: a pure function from what the coordinator observed to a decision."""

from __future__ import annotations

import math
from dataclasses import dataclass

from swarm_ray.config.schema import PaceConfig


@dataclass(frozen=True)
class Observed:
    """What the coordinator has seen of the open stage."""

    living: int
    """Members of the round that are alive, or whose file is in."""
    submitted: int
    """Members that have nothing more to hand in: a file was accepted or rejected."""
    accepted: int
    """Accepted files."""
    seconds: float
    """Since the record that opened the stage was written."""


def stage_is_over(pace: PaceConfig, seen: Observed) -> bool:
    """Whether the stage closes now, by the strategy in `pace`; a stage with nothing in it never does."""
    if seen.accepted == 0:
        return False
    if seen.seconds >= pace.max_s:
        return True
    enough = seen.submitted >= math.ceil(pace.share * seen.living)
    if pace.strategy == "completion":
        return enough
    if pace.strategy == "hybrid":
        return enough and seen.seconds >= pace.min_s
    return False
