"""What a node made in a round, and what it trains on."""

from __future__ import annotations

from dataclasses import dataclass

from swarm_ray.policies.policy import Generated
from swarm_ray.records.rollouts import StepCounters
from swarm_ray.sapo.selection import ScoredRollout


@dataclass(frozen=True)
class OwnRollout:
    """A rollout that the node made: with tokens, and scored."""

    scored: ScoredRollout
    generated: tuple[Generated, ...]
    failures: int
    """Completions on which the verifier failed or ran out of time."""


@dataclass(frozen=True)
class Batch:
    """What a node trains on in a round."""

    own: list[OwnRollout]
    external: list[ScoredRollout]
    counters: StepCounters
