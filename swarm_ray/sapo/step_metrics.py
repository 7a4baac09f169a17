"""A row of metrics from what a step used and did."""

from __future__ import annotations

from swarm_ray.policies.policy import UpdateStats
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.sapo.batch import Batch
from swarm_ray.sapo.node import Node


def step_metrics(node: Node, number: int, batch: Batch, step: UpdateStats | None) -> StepMetrics:
    """The row of `node` for round `number`; `step` is None when no group had an advantage."""
    own = [r for o in batch.own for r in o.scored.rewards]
    external = [r for rollout in batch.external for r in rollout.rewards]
    completions = [c for o in batch.own for c in o.generated]
    return StepMetrics(
        node=node.id,
        incarnation=node.incarnation,
        round=number,
        step=node.step,
        reward=_mean(own),
        reward_by_specialty=_by_specialty(batch),
        reward_mixed=_mean(own + external),
        local=len(batch.own),
        external=len(batch.external),
        counters=batch.counters,
        trained=step is not None,
        loss=step.loss if step else None,
        clip_share=step.clip_share if step else None,
        entropy=step.entropy if step else None,
        grad_norm=step.grad_norm if step else None,
        unfaithful=_mean([float(not c.reencodes) for c in completions]),
        scoring_failures=sum(o.failures for o in batch.own),
        seconds={},
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _by_specialty(batch: Batch) -> dict[str, float]:
    rewards: dict[str, list[float]] = {}
    for rollout in batch.own:
        rewards.setdefault(rollout.scored.question.specialty, []).extend(rollout.scored.rewards)
    return {specialty: _mean(values) for specialty, values in sorted(rewards.items())}
