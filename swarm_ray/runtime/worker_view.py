"""The snapshot of a worker's own swarm, from its coordinator's and its logger's status.

If another machine coordinates, rows logged by this machine's nodes replace the state records.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.experiments.read.compare import mean
from swarm_ray.observe.diagnosis import swarm_notes, without_advantage
from swarm_ray.observe.snapshot import (
    MEAN_OF,
    WINDOW,
    ExperimentSnapshot,
    NodeSnapshot,
    closings,
    extended,
    label,
    node_snapshot,
    round_seconds,
    rounds_closed,
    seconds_left,
)
from swarm_ray.records.metrics import LoggerProgress, StepMetrics
from swarm_ray.records.state import CoordinatorProgress, ExperimentState, StateRecord

Trainer = tuple[int, tuple[tuple[str, float], ...]]
"""A round and its seconds per phase: the rows that a trainer writes together agree in both."""


@dataclass(frozen=True)
class WorkerView:
    """The last status of a worker's actors; `snapshot` shows it."""

    experiment: str
    config: SwarmConfig
    nodes: tuple[str, ...]
    """This machine's nodes; if it coordinates, all registered nodes."""
    state: str = "starting"
    """starting, waiting, running, paused, draining, finished, stopped, failed or superseded."""
    rewards: tuple[float, ...] = ()
    """Mean own reward per closed round; after a coordinator's restart the oldest are missing."""
    closed: int = 0
    """Closed rounds of the experiment."""
    used: int = 0
    problems: Mapping[str, str] | None = None
    note: str = ""
    unreachable: str = ""
    records: tuple[StateRecord, ...] = ()
    """The newest state records, oldest first, if the coordinator is here."""
    rows: tuple[StepMetrics, ...] = ()
    """The newest rows of this machine's nodes, oldest first."""
    open_s: float | None = None
    """Seconds since the open round began; None if another machine coordinates."""

    def with_coordinator(self, status: CoordinatorProgress, *, starting: bool, hosts: bool) -> WorkerView:
        """With the coordinator's status.

        Args:
            status: of the coordinator.
            starting: whether an actor here is still starting.
            hosts: whether nodes are trained here.
        """
        record, state = status.record, status.state
        note = status.problem or (record.note if record else "")
        if record and record.learned_nothing:
            note = f"{without_advantage(record.barren, rounds_closed(record))}: nothing is learned"
        if state == ExperimentState.WAITING and hosts and not status.registered:
            state = "starting"
            note = "loading the models" if starting else "measuring held-out pass@1 before round 0"
        return replace(
            self,
            state=state,
            rewards=status.rewards,
            closed=status.closed,
            unreachable=status.problem if status.unreachable else "",
            nodes=status.registered or self.nodes,
            problems=status.problems,
            note=note,
            records=extended(self.records, record) if record else self.records,
            open_s=status.seconds,
        )

    def with_logger(
        self, said: LoggerProgress, discovery_problem: str, *, coordinates: bool, starting: bool
    ) -> WorkerView:
        """With the logger's status; its nodes' rewards stand for the swarm's if another machine coordinates.

        Args:
            said: of the logger.
            discovery_problem: why discovery cannot write; empty while it can.
            coordinates: whether the coordinator is here.
            starting: whether an actor here is still starting.
        """
        note = f"rows wait on this machine's disk: {said.problem}" if said.problem else ""
        unreachable = (self.unreachable if coordinates else "") or said.problem or discovery_problem
        view = replace(
            self, used=said.used, rows=extended_rows(self.rows, said.rows), unreachable=unreachable
        )
        if coordinates:
            return replace(view, note=self.note or note)
        state = (
            ExperimentState.RUNNING if said.rewards else "starting" if starting else ExperimentState.WAITING
        )
        closed = max((row.round + 1 for row in said.rows), default=0)
        return replace(view, state=state, rewards=said.rewards, closed=closed, note=note)

    def snapshot(self) -> ExperimentSnapshot:
        """As live displays show it."""
        records, rows = self.records, self.rows
        seconds = [closed.seconds for closed in closings(records)] if records else rounds_seconds(rows)
        round_s = round_seconds(seconds)
        notes = [self.note, *(swarm_notes(records[-1]) if records else [])]
        return ExperimentSnapshot(
            experiment=self.experiment,
            state=self.state,
            label=label(self.config.local, self.config.external),
            rounds=self.config.rounds,
            closed=self.closed,
            round_s=round_s,
            left_s=seconds_left(self.state, self.config.rounds - self.closed, round_s, self.open_s),
            rewards=self.rewards,
            reward=mean(self.rewards[-MEAN_OF:]),
            cumulative=self._cumulative(),
            nodes=tuple(self._node(node) for node in sorted({*self.nodes, *(self.problems or {})})),
            notes=tuple(note for note in notes if note),
            used=self.used,
            unreachable=self.unreachable,
        )

    def _cumulative(self) -> float:
        """Sums of the whole run, from the newest record."""
        if self.records:
            return sum(tally.totals.reward for tally in self.records[-1].tallies.values())
        return sum(self.rewards) * max(1, len(self.nodes))

    def _node(self, node: str) -> NodeSnapshot:
        """From the swarm's records if there are any, else from what the node logged here."""
        records = self.records
        line = node_snapshot(node, records, self.config.local) if records else node_of_rows(node, self.rows)
        problem = (self.problems or {}).get(node)
        return replace(line, problems=(problem,)) if problem else line


def extended_rows(known: tuple[StepMetrics, ...], rows: Sequence[StepMetrics]) -> tuple[StepMetrics, ...]:
    """The newest rows of each node, with those that are new."""
    met = {(row.node, row.step) for row in known}
    new = [row for row in rows if (row.node, row.step) not in met]
    nodes = {row.node for row in (*known, *new)}
    return (*known, *new)[-WINDOW * len(nodes) :] if new else known


def node_of_rows(node: str, rows: Sequence[StepMetrics]) -> NodeSnapshot:
    """A node's figures from its newest rows.

    Args:
        node: its id.
        rows: the newest ones of all nodes of this machine, oldest first.
    """
    own = [row for row in rows if row.node == node]
    if not own:
        return NodeSnapshot(node)
    spent = trainer_seconds(rows)
    seconds = [spent[_trainer(row)] for row in own]
    learned = sum(row.local + row.external for row in own)
    tokens = sum(row.counters.generated_tokens for row in own)
    return NodeSnapshot(
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
    spent: defaultdict[Trainer, float] = defaultdict(float)
    for row in rows:
        spent[_trainer(row)] += sum(row.seconds.values())
    return spent


def rounds_seconds(rows: Sequence[StepMetrics]) -> list[float]:
    """Seconds of each round that was seen from beginning to end; the slowest trainer's.

    In async pace a round has several steps, so the oldest and the newest are left out: they may be incomplete.
    """
    spent = trainer_seconds(rows)
    rounds: defaultdict[int, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in rows:
        rounds[row.round][row.node] += spent[_trainer(row)]
    return [max(rounds[number].values()) for number in sorted(rounds)[1:-1]]


def _trainer(row: StepMetrics) -> Trainer:
    return row.round, tuple(sorted(row.seconds.items()))
