"""Which external rollouts a node learns from: pure functions of the pool and a random stream."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from swarm_ray.records.rollouts import Completion
from swarm_ray.sapo.advantages import is_zero_advantage
from swarm_ray.tasks.protocol import Question


@dataclass(frozen=True)
class ScoredRollout:
    """A rollout with the question made again and the completions scored by this trainer's own verifier."""

    node: str
    """Who generated it."""
    number: int
    """Its place among the rollouts of that node's file."""
    question: Question
    completions: tuple[Completion, ...]
    """With the rewards of the own verifier."""

    @property
    def rewards(self) -> list[float]:
        """One reward per completion."""
        return [c.reward for c in self.completions]

    @property
    def zero_advantage(self) -> bool:
        """Whether all completions were rewarded alike."""
        return is_zero_advantage(self.rewards)


def eligible(pool: Sequence[ScoredRollout], node: str) -> list[ScoredRollout]:
    """Other nodes' rollouts that carry an advantage, ordered by (node id, number) and never by arrival."""
    found = [r for r in pool if r.node != node and not r.zero_advantage]
    return sorted(found, key=lambda r: (r.node, r.number))


def select_uniform(
    candidates: Sequence[ScoredRollout], count: int, stream: random.Random
) -> list[ScoredRollout]:
    """`count` rollouts uniformly and without replacement, all of them where there are fewer (SAPO, section 4).

    Args:
        candidates: eligible rollouts in a fixed order.
        count: J, the most to take.
        stream: the node's stream for this step.
    """
    return stream.sample(list(candidates), min(count, len(candidates)))
