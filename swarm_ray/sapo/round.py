"""One round of SAPO for the nodes of a trainer (arXiv 2509.08721, Algorithm 1), in phases.

Every node samples I questions, generates G completions for each, scores and shares them; from the rollouts of the
others it drops those without advantage, selects J, and takes one policy-gradient step on what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from swarm_ray.config.schema import GrpoConfig, SwarmConfig
from swarm_ray.errors import NodeFailure
from swarm_ray.policies.policy import UpdateStats
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.rollouts import Rollout, RoundFile
from swarm_ray.records.state import StageClosed
from swarm_ray.sapo.grpo import group_advantages, grpo_loss
from swarm_ray.sapo.node import Node
from swarm_ray.sapo.phases import PhaseClock
from swarm_ray.sapo.pool import PeerFile, Pool, ScoredRollout, build_pool, score_own
from swarm_ray.sapo.selection import Batch, select_batch
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import Verifier

T = TypeVar("T")


class Exchange(Protocol):
    """How rollouts travel between trainers."""

    def adopt(self, node: Node, number: int) -> list[ScoredRollout] | None:
        """What an earlier process of the node made for this step; None when it is to be made now."""

    def publish(self, node: Node, number: int, file: RoundFile, own: Sequence[ScoredRollout]) -> None:
        """Share a node's file of a round, once: one that an earlier process shared already is left alone."""

    def wait_closed(self, number: int) -> StageClosed | None:
        """Wait until the round's record says what was accepted; None when no coordinator is there to say so."""

    def gather(self, closed: StageClosed, without: Sequence[str]) -> list[PeerFile]:
        """Read the accepted files of all nodes but those in `without`."""


@dataclass(frozen=True)
class RoundContext:
    """What a round needs beside its nodes."""

    config: SwarmConfig
    tasks: TaskSet
    verifier: Verifier
    exchange: Exchange
    phases: PhaseClock
    failed: Callable[[Node], None]
    """Called with a node whose data failed, as soon as it sits out a round or is given up."""


def run_round(
    nodes: Sequence[Node],
    number: int,
    context: RoundContext,
    *,
    alone: bool = False,
    rows: list[StepMetrics] | None = None,
) -> list[StepMetrics]:
    """Run round `number` for `nodes`; a node whose data fail sits out the rest of it, or is given up.

    Args:
        nodes: those of this trainer that take part.
        number: the round.
        context: what it needs.
        alone: no coordinator is there; the nodes learn from what they made themselves.
        rows: takes what is returned, each row as soon as its step is taken: whatever ends the round before its end,
            these steps stay taken.

    Returns:
        A row of metrics for each node that came through; `seconds` is filled in by the caller, who also knows what
        happens after the step.
    """
    phase, exchange, config = context.phases.phase, context.exchange, context.config
    rows = [] if rows is None else rows
    own = _own_rollouts(nodes, number, context)
    with phase("publish"):
        each(nodes, lambda n: exchange.publish(n, number, _file(n, own[n.id], alone), own[n.id]), context)
    if any(n.active for n in nodes):
        with phase("wait"):
            closed = None if alone else exchange.wait_closed(number)
        with phase("gather"):
            pool = _gather(nodes, closed, own, context)
        with phase("select"):
            batches = each(
                nodes,
                lambda n: select_batch(
                    n, own[n.id], pool, config.external, n.stream(config.seed, "selection")
                ),
                context,
            )
        with phase("update"):
            each(
                nodes, lambda n: rows.append(_learn(n, number, batches[n.id], pool, context, closed)), context
            )
    for node in nodes:
        if node.skipped:  # it begins the next round with fresh random streams
            node.skipped, node.round, node.step = "", number, node.step + 1
    return rows


def _own_rollouts(
    nodes: Sequence[Node], number: int, context: RoundContext
) -> dict[str, list[ScoredRollout]]:
    """The nodes' own rollouts: those that an earlier process made for this step, else sampled and scored now."""
    phase, config = context.phases.phase, context.config
    with phase("sample"):
        own = {n.id: made for n in nodes if (made := context.exchange.adopt(n, number)) is not None}
        fresh = [n for n in nodes if n.id not in own]
        questions = each(
            fresh, lambda n: context.tasks.draw(n.stream(config.seed, "questions"), config.local), context
        )
    with phase("generate"):
        generated = each(
            fresh,
            lambda n: n.policy.generate(
                [q.text for q in questions[n.id]],
                config.completions,
                n.derive_seed(config.seed, "completions"),
            ),
            context,
        )
    with phase("score"):
        return own | score_own(questions, generated, context.verifier)


def each(nodes: Sequence[Node], action: Callable[[Node], T], context: RoundContext) -> dict[str, T]:
    """Do `action` for every active node; one that raises `NodeFailure` sits out, or is given up.

    It is given up when its data failed in `supervision.data_failures` rounds in a row.
    """
    results: dict[str, T] = {}
    for node in (n for n in nodes if n.active):
        try:
            results[node.id] = action(node)
        except NodeFailure as failure:
            node.skipped, node.failures = str(failure), node.failures + 1
            if node.failures >= context.config.supervision.data_failures:
                node.problem = str(failure)
            context.failed(node)
    return results


def _file(node: Node, own: Sequence[ScoredRollout], alone: bool) -> RoundFile:
    return RoundFile(
        step=node.step,
        rollouts=tuple(Rollout(r.question.ref, r.completions) for r in own),
        reward=_mean_reward(own),
        informative=sum(not r.zero_advantage for r in own),
        generated_tokens=sum(r.sampled_tokens for r in own),
        vote=node.vote,
        previous=node.previous,
        alone=alone,
    )


def _gather(
    nodes: Sequence[Node],
    closed: StageClosed | None,
    own: Mapping[str, Sequence[ScoredRollout]],
    context: RoundContext,
) -> Pool:
    """What the record names; alone, what this trainer's own nodes made."""
    accepted = set(own) if closed is None else {file.node for file in closed.accepted}
    here = {n: rollouts for n, rollouts in own.items() if n in accepted}
    files = [] if closed is None else context.exchange.gather(closed, without=[n.id for n in nodes])
    return build_pool(files, here, context.tasks, context.verifier)


def _learn(
    node: Node, number: int, batch: Batch, pool: Pool, context: RoundContext, closed: StageClosed | None
) -> StepMetrics:
    """Take the step and count it, in one go: a node that is stopped has done both or neither."""
    stats = _update(node, batch, context.config.grpo)
    totals, counters = node.totals, batch.counters
    totals.reward += _mean_reward(batch.own)
    totals.count(counters)
    totals.generated_tokens += counters.generated_tokens
    node.previous, node.vote = counters, pool.best_peer(node.id)
    metrics = _metrics(node, number, batch, stats, alone=closed is None)
    node.step, node.round, node.failures = node.step + 1, number, 0
    return metrics


def _update(node: Node, batch: Batch, grpo: GrpoConfig) -> UpdateStats | None:
    """One step; None when no group has an advantage, and weights and optimizer stay as they are."""
    policy, epsilon = node.policy, grpo.advantage_epsilon
    groups = [
        policy.group(r.question.text, (c.ids for c in r.sampled), group_advantages(r.rewards, epsilon))
        for r in batch.own
    ]
    groups += [
        policy.group(
            r.question.text,
            (policy.encode(c.text, finished=c.finished) for c in r.completions),
            group_advantages(r.rewards, epsilon),
        )
        for r in batch.external
    ]
    if not any(advantage for group in groups for advantage in group.advantages):
        return None
    return policy.update(groups, grpo_loss(grpo))


def _metrics(node: Node, number: int, batch: Batch, stats: UpdateStats | None, *, alone: bool) -> StepMetrics:
    sampled = [c for r in batch.own for c in r.sampled]
    specialties = sorted({r.question.specialty for r in batch.own})
    return StepMetrics(
        node=node.id,
        incarnation=node.incarnation,
        round=number,
        step=node.step,
        reward=_mean_reward(batch.own),
        reward_by_specialty={
            s: _mean_reward([r for r in batch.own if r.question.specialty == s]) for s in specialties
        },
        reward_mixed=_mean_reward([*batch.own, *batch.external]),
        local=len(batch.own),
        external=len(batch.external),
        counters=batch.counters,
        trained=stats is not None,
        loss=stats.loss if stats else None,
        clip_share=stats.clip_share if stats else None,
        entropy=stats.entropy if stats else None,
        grad_norm=stats.grad_norm if stats else None,
        unfaithful=sum(not c.reencodes for c in sampled) / len(sampled),
        scoring_failures=sum(r.failures for r in batch.own),
        seconds={},
        alone=alone,
    )


def _mean_reward(rollouts: Sequence[ScoredRollout]) -> float:
    rewards = [reward for rollout in rollouts for reward in rollout.rewards]
    return sum(rewards) / len(rewards)
