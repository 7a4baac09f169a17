"""Which external rollouts a node learns from: pure functions of the pool and a random stream."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from swarm_ray.records.refusals import RolloutRefusal
from swarm_ray.records.rollouts import StepCounters
from swarm_ray.sapo.node import Node
from swarm_ray.sapo.pool import Pool, ScoredRollout


@dataclass(frozen=True)
class Batch:
    """What a node trains on in a round."""

    own: list[ScoredRollout]
    external: list[ScoredRollout]
    counters: StepCounters


def eligible(pool: Sequence[ScoredRollout], node: str) -> list[ScoredRollout]:
    """Other nodes' rollouts that carry an advantage, ordered by (node id, number) and never by arrival."""
    return sorted(
        (r for r in pool if r.node != node and not r.zero_advantage), key=lambda r: (r.node, r.number)
    )


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


def select_batch(
    node: Node, own: list[ScoredRollout], pool: Pool, count: int, stream: random.Random
) -> Batch:
    """What a node trains on: its own rollouts, and `count` of the others that its model has room for; counted."""
    found = eligible(pool.rollouts, node.id)
    candidates = [r for r in found if node.policy.has_room(r.question.text)]
    rejected = pool.refused_for(node.id)
    if len(candidates) < len(found):
        rejected[RolloutRefusal.PROMPT_TOO_LONG] = len(found) - len(candidates)
    external = select_uniform(candidates, count, stream)
    counters = StepCounters(
        offered=pool.offered_to(node.id),
        used=len(external),
        rejected=rejected,
        used_from=dict(Counter(rollout.node for rollout in external)),
        zero_advantage_local=sum(r.zero_advantage for r in own),
        zero_advantage_external=sum(r.zero_advantage for r in pool.rollouts if r.node != node.id),
        generated_tokens=sum(r.sampled_tokens for r in own),
    )
    return Batch(own, external, counters)
