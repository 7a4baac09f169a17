"""Figures of this machine's nodes from the rows they logged, where another machine coordinates. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from swarm_ray.observe.recent import MEAN_OF, WINDOW, mean
from swarm_ray.observe.snapshot import NodeLine
from swarm_ray.records.metrics import StepMetrics

Trainer = tuple[int, tuple[tuple[str, float], ...]]
"""A round and its seconds per phase: the rows that a trainer writes together agree in both."""


def extended_rows(known: tuple[StepMetrics, ...], rows: Sequence[StepMetrics]) -> tuple[StepMetrics, ...]:
    """The newest rows of each node, with those that are new."""
    met = {(row.node, row.step) for row in known}
    new = [row for row in rows if (row.node, row.step) not in met]
    nodes = {row.node for row in (*known, *new)}
    return (*known, *new)[-WINDOW * len(nodes) :] if new else known


def line_of_rows(node: str, rows: Sequence[StepMetrics]) -> NodeLine:
    """What its newest rows say of a node.

    Args:
        node: its id.
        rows: the newest ones of all nodes of this machine, oldest first.
    """
    own = [row for row in rows if row.node == node]
    if not own:
        return NodeLine(node)
    spent = trainer_seconds(rows)
    seconds = [spent[_trainer(row)] for row in own]
    learned = sum(row.local + row.external for row in own)
    tokens = sum(row.counters.generated_tokens for row in own)
    return NodeLine(
        node=node,
        round=own[-1].round,
        step=own[-1].step + 1,
        reward=own[-1].reward,
        mean_reward=mean([row.reward for row in own][-MEAN_OF:]),
        external=sum(row.external for row in own) / learned if learned else None,
        step_s=median(seconds),
        tokens_per_s=tokens / sum(seconds) if sum(seconds) > 0 else None,
    )


def trainer_seconds(rows: Sequence[StepMetrics]) -> dict[Trainer, float]:
    """How long each trainer took for each step: its nodes' rows have equal shares of that."""
    spent: dict[Trainer, float] = {}
    for row in rows:
        trainer = _trainer(row)
        spent[trainer] = spent.get(trainer, 0.0) + sum(row.seconds.values())
    return spent


def rounds_seconds(rows: Sequence[StepMetrics]) -> list[float]:
    """Seconds of each round that was met from its beginning to its end; the slowest trainer's.

    In async pace a round has several steps, so the oldest and the newest are left out: they may be met in part.
    """
    spent = trainer_seconds(rows)
    rounds: dict[int, dict[str, float]] = {}
    for row in rows:
        of_nodes = rounds.setdefault(row.round, {})
        of_nodes[row.node] = of_nodes.get(row.node, 0.0) + spent[_trainer(row)]
    return [max(rounds[number].values()) for number in sorted(rounds)[1:-1]]


def _trainer(row: StepMetrics) -> Trainer:
    return row.round, tuple(sorted(row.seconds.items()))
