"""One round of SAPO for the nodes of a trainer (arXiv 2509.08721, Algorithm 1), in phases.

Every node samples I questions, generates G completions for each, scores and shares them; from the rollouts of the
others it drops those without advantage, selects J, and takes one policy-gradient step on what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from swarm_ray.config import SwarmConfig
from swarm_ray.errors import NodeFailure
from swarm_ray.policies.policy import Generated, TrainingGroup, UpdateStats
from swarm_ray.records import Completion, Rollout, RoundFile, StageClosed, StepCounters, StepMetrics
from swarm_ray.sapo.advantages import group_advantages
from swarm_ray.sapo.batch import Batch, OwnRollout
from swarm_ray.sapo.node import Node
from swarm_ray.sapo.phases import PhaseClock
from swarm_ray.sapo.pool import PeerFile, Pool, Verifier, build_pool
from swarm_ray.sapo.selection import ScoredRollout, eligible, select_uniform
from swarm_ray.sapo.step_metrics import step_metrics
from swarm_ray.sapo.streams import derive_seed, derive_stream
from swarm_ray.tasks.protocol import Question
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import ScoreItem

T = TypeVar("T")


class Exchange(Protocol):
    """How rollouts travel between trainers."""

    def publish(self, node: Node, number: int, file: RoundFile) -> None:
        """Share a node's file of a round."""
        ...

    def wait_closed(self, number: int) -> StageClosed:
        """Wait until the round's record says what was accepted."""
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
    lost: Callable[[Node], None]
    """Called with a node as soon as it is given up."""


def run_round(nodes: Sequence[Node], number: int, around: Surroundings) -> list[StepMetrics]:
    """Run round `number` for `nodes`; a node whose data fail is marked and left out of the rest.

    Returns:
        A row of metrics for each node that came through; `seconds` is filled in by the caller, who also knows what
        happens after the step.
    """
    phase, lost = around.phases.phase, around.lost
    with phase("sample"):
        questions = each(nodes, lambda n: _sample(n, around), lost)
    with phase("generate"):
        generated = each(nodes, lambda n: _generate(n, questions[n.id], around.config), lost)
    with phase("score"):
        own = _score(nodes, questions, generated, around.verifier)
    with phase("publish"):
        each(nodes, lambda n: around.exchange.publish(n, number, _file(n, own[n.id])), lost)
    if all(n.problem for n in nodes):
        return []
    with phase("wait"):
        closed = around.exchange.wait_closed(number)
    with phase("gather"):
        pool = _gather(nodes, closed, own, around)
    with phase("select"):
        batches = each(nodes, lambda n: _select(n, own[n.id], pool, around.config), lost)
    with phase("update"):
        steps = each(nodes, lambda n: _update(n, batches[n.id], around.config), lost)
    return [_finish(n, number, batches[n.id], steps[n.id], pool) for n in nodes if n.problem is None]


def each(nodes: Sequence[Node], action: Callable[[Node], T], lost: Callable[[Node], None]) -> dict[str, T]:
    """Do `action` for every node that is well; one that raises `NodeFailure` is marked, and `lost` is told."""
    results: dict[str, T] = {}
    for node in nodes:
        if node.problem is not None:
            continue
        try:
            results[node.id] = action(node)
        except NodeFailure as failure:
            node.problem = str(failure)
            lost(node)
    return results


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
    well = [n.id for n in nodes if n.problem is None]
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


def _file(node: Node, own: list[OwnRollout]) -> RoundFile:
    rewards = [r for o in own for r in o.scored.rewards]
    return RoundFile(
        step=node.step,
        rollouts=tuple(Rollout(o.scored.question.ref, o.scored.completions) for o in own),
        reward=sum(rewards) / len(rewards),
        informative=sum(not o.scored.zero_advantage for o in own),
        generated_tokens=sum(len(c.ids) for o in own for c in o.generated),
        vote=node.vote,
        previous=node.previous,
    )


def _gather(
    nodes: Sequence[Node], closed: StageClosed, own: dict[str, list[OwnRollout]], around: Surroundings
) -> Pool:
    accepted = {file.node for file in closed.accepted}
    here = {n: [o.scored for o in rollouts] for n, rollouts in own.items() if n in accepted}
    files = around.exchange.gather(closed, without=[n.id for n in nodes])
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
    node.step += 1
    return metrics
