"""One round of SAPO for the nodes of a trainer (arXiv 2509.08721, Algorithm 1), in phases.

Every node samples I questions, generates G completions for each, scores and shares them; from the rollouts of the
others it drops those without advantage, selects J, and takes one policy-gradient step on what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import NodeFailure
from swarm_ray.policies.policy import Generated, TrainingGroup, UpdateStats
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.rollouts import Completion, Rollout, RoundFile, StepCounters
from swarm_ray.records.state import StageClosed
from swarm_ray.sapo.advantages import group_advantages
from swarm_ray.sapo.batch import Batch, OwnRollout
from swarm_ray.sapo.node import Node
from swarm_ray.sapo.phases import PhaseClock
from swarm_ray.sapo.pool import PeerFile, Pool, Verifier, build_pool
from swarm_ray.sapo.selection import ScoredRollout, eligible, select_uniform
from swarm_ray.sapo.step_metrics import step_metrics
from swarm_ray.tasks.protocol import Question
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import ScoreItem
from swarm_ray.tasks.streams import derive_seed, derive_stream

T = TypeVar("T")


class Exchange(Protocol):
    """How rollouts travel between trainers."""

    def adopt(self, node: Node, number: int) -> list[OwnRollout] | None:
        """What an earlier process of the node made for this step; None when it is to be made now."""
        ...

    def publish(self, node: Node, number: int, file: RoundFile, own: Sequence[OwnRollout]) -> None:
        """Share a node's file of a round, once: one that an earlier process shared already is left alone."""
        ...

    def wait_closed(self, number: int) -> StageClosed | None:
        """Wait until the round's record says what was accepted; None when no coordinator is there to say so."""
        ...

    def gather(self, closed: StageClosed, without: Sequence[str]) -> list[PeerFile]:
        """Read the accepted files of all nodes but those in `without`."""
        ...


@dataclass(frozen=True)
class Surroundings:
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
    around: Surroundings,
    *,
    alone: bool = False,
    rows: list[StepMetrics] | None = None,
) -> list[StepMetrics]:
    """Run round `number` for `nodes`; a node whose data fail sits out the rest of it, or is given up.

    Args:
        nodes: those of this trainer that take part.
        number: the round.
        around: what it needs.
        alone: no coordinator is there; the nodes learn from what they made themselves.
        rows: takes what is returned, each row as soon as its step is taken: whatever ends the round before its end,
            these steps stay taken.

    Returns:
        A row of metrics for each node that came through; `seconds` is filled in by the caller, who also knows what
        happens after the step.
    """
    phase, exchange = around.phases.phase, around.exchange
    with phase("sample"):
        own = {n.id: made for n in nodes if (made := exchange.adopt(n, number)) is not None}
        fresh = [n for n in nodes if n.id not in own]
        questions = each(fresh, lambda n: _sample(n, around), around)
    with phase("generate"):
        generated = each(fresh, lambda n: _generate(n, questions[n.id], around.config), around)
    with phase("score"):
        own |= _score(fresh, questions, generated, around.verifier)
    with phase("publish"):
        each(nodes, lambda n: _publish(n, number, own[n.id], exchange, alone=alone), around)
    rows = [] if rows is None else rows
    if any(n.well for n in nodes):
        with phase("wait"):
            closed = None if alone else exchange.wait_closed(number)
        with phase("gather"):
            pool = _gather(nodes, closed, own, around)
        with phase("select"):
            batches = each(nodes, lambda n: _select(n, own[n.id], pool, around.config), around)
        with phase("update"):
            each(nodes, lambda n: rows.append(_learn(n, number, batches[n.id], pool, around, closed)), around)
    for node in nodes:
        _sit_out(node, number)
    return rows


def each(nodes: Sequence[Node], action: Callable[[Node], T], around: Surroundings) -> dict[str, T]:
    """Do `action` for every node that is well; one that raises `NodeFailure` sits out, or is given up.

    It is given up when its data failed in `supervision.data_failures` rounds in a row.
    """
    results: dict[str, T] = {}
    for node in nodes:
        if not node.well:
            continue
        try:
            results[node.id] = action(node)
        except NodeFailure as failure:
            node.skipped, node.failures = str(failure), node.failures + 1
            if node.failures >= around.config.supervision.data_failures:
                node.problem = str(failure)
            around.failed(node)
    return results


def _sit_out(node: Node, number: int) -> None:
    """Let a node that failed in this round begin the next with fresh random streams."""
    if node.skipped:
        node.skipped, node.round = "", number
        node.step += 1


def _sample(node: Node, around: Surroundings) -> list[Question]:
    stream = derive_stream(around.config.seed, node.id, node.step, "questions")
    return around.tasks.draw(stream, around.config.local)


def _generate(node: Node, questions: list[Question], config: SwarmConfig) -> list[list[Generated]]:
    seed = derive_seed(config.seed, node.id, node.step, "completions")
    return node.policy.generate([q.text for q in questions], config.completions, seed)


def _score(
    nodes: Sequence[Node],
    questions: dict[str, list[Question]],
    generated: dict[str, list[list[Generated]]],
    verifier: Verifier,
) -> dict[str, list[OwnRollout]]:
    """All completions of all nodes in one request."""
    well = [n.id for n in nodes if n.well]
    if not well:
        return {}
    pairs = [(n, q, g) for n in well for q, g in zip(questions[n], generated[n], strict=True)]
    scores = iter(verifier.score([ScoreItem(q, c.text) for _, q, g in pairs for c in g]))
    own: dict[str, list[OwnRollout]] = {n: [] for n in well}
    for node, question, group in pairs:
        found = [next(scores) for _ in group]
        completions = tuple(
            Completion(c.text, s.reward, c.finished) for c, s in zip(group, found, strict=True)
        )
        scored = ScoredRollout(node, len(own[node]), question, completions)
        failures = sum(s.outcome != "ok" for s in found)
        own[node].append(OwnRollout(scored, tuple(group), failures))
    return own


def _publish(node: Node, number: int, own: list[OwnRollout], exchange: Exchange, *, alone: bool) -> None:
    exchange.publish(node, number, _file(node, own, alone=alone), own)


def _file(node: Node, own: list[OwnRollout], *, alone: bool) -> RoundFile:
    rewards = [r for o in own for r in o.scored.rewards]
    return RoundFile(
        step=node.step,
        rollouts=tuple(Rollout(o.scored.question.ref, o.scored.completions) for o in own),
        reward=sum(rewards) / len(rewards),
        informative=sum(not o.scored.zero_advantage for o in own),
        generated_tokens=sum(len(c.ids) for o in own for c in o.generated),
        vote=node.vote,
        previous=node.previous,
        alone=alone,
    )


def _gather(
    nodes: Sequence[Node],
    closed: StageClosed | None,
    own: dict[str, list[OwnRollout]],
    around: Surroundings,
) -> Pool:
    """What the record names; alone, what this trainer's own nodes made."""
    accepted = set(own) if closed is None else {file.node for file in closed.accepted}
    here = {n: [o.scored for o in rollouts] for n, rollouts in own.items() if n in accepted}
    files = [] if closed is None else around.exchange.gather(closed, without=[n.id for n in nodes])
    return build_pool(files, here, around.tasks, around.verifier)


def _select(node: Node, own: list[OwnRollout], pool: Pool, config: SwarmConfig) -> Batch:
    found = eligible(pool.rollouts, node.id)
    candidates = [r for r in found if node.policy.has_room(r.question.text)]
    rejected = pool.refused_for(node.id)
    if len(candidates) < len(found):
        rejected["prompt too long for this model"] = len(found) - len(candidates)
    stream = derive_stream(config.seed, node.id, node.step, "selection")
    external = select_uniform(candidates, config.external, stream)
    counters = StepCounters(
        offered=pool.offered_to(node.id),
        used=len(external),
        rejected=rejected,
        zero_advantage_local=sum(o.scored.zero_advantage for o in own),
        zero_advantage_external=sum(r.zero_advantage for r in pool.rollouts if r.node != node.id),
        generated_tokens=sum(len(c.ids) for o in own for c in o.generated),
    )
    for rollout in external:
        counters.used_from[rollout.node] = counters.used_from.get(rollout.node, 0) + 1
    return Batch(own, external, counters)


def _learn(
    node: Node, number: int, batch: Batch, pool: Pool, around: Surroundings, closed: StageClosed | None
) -> StepMetrics:
    """Take the step and count it, in one go: a node that is stopped has done both or neither."""
    row = _finish(node, number, batch, _update(node, batch, around.config), pool)
    return msgspec.structs.replace(row, alone=closed is None)


def _update(node: Node, batch: Batch, config: SwarmConfig) -> UpdateStats | None:
    """One step; None when no group has an advantage, and weights and optimizer stay as they are."""
    policy, epsilon = node.policy, config.grpo.advantage_epsilon
    groups = [
        TrainingGroup(
            policy.own_group(o.scored.question.text, o.generated),
            tuple(group_advantages(o.scored.rewards, epsilon)),
        )
        for o in batch.own
    ]
    for rollout in batch.external:
        texts = [(c.text, c.finished) for c in rollout.completions]
        tokens = policy.external_group(rollout.question.text, texts)
        groups.append(TrainingGroup(tokens, tuple(group_advantages(rollout.rewards, epsilon))))
    if not any(advantage for group in groups for advantage in group.advantages):
        return None
    return policy.update(groups)


def _finish(node: Node, number: int, batch: Batch, step: UpdateStats | None, pool: Pool) -> StepMetrics:
    """Count the step, and describe it."""
    rewards = [r for o in batch.own for r in o.scored.rewards]
    totals, counters = node.totals, batch.counters
    totals.reward += sum(rewards) / len(rewards)
    totals.offered += counters.offered
    totals.used += counters.used
    totals.rejected += sum(counters.rejected.values())
    totals.generated_tokens += counters.generated_tokens
    node.previous, node.vote = counters, pool.best_peer(node.id)
    metrics = step_metrics(node, number, batch, step)
    node.step, node.round, node.failures = node.step + 1, number, 0
    return metrics
