"""What a display shows of a worker, from what its coordinator and its logger say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.observe.eta import round_seconds, seconds_left
from swarm_ray.observe.own_rows import extended_rows, line_of_rows, rounds_seconds
from swarm_ray.observe.progress import SwarmProgress
from swarm_ray.observe.recent import closings, extended, node_line
from swarm_ray.observe.remarks import label, swarm_notes
from swarm_ray.observe.snapshot import NodeLine, Picture
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.state import ExperimentState, StateRecord

__all__ = ["Coordinating", "Logging", "label", "of_coordinator", "of_logger", "picture_of"]

AWAY_NAMES = ("StoreUnavailable", "FolderMissing", "StoreDenied", "StoreFull")
"""So begins what a coordinator says of a folder that is out of reach."""


class Coordinating(Protocol):
    """What a coordinator says."""

    @property
    def state(self) -> str: ...  # noqa: D102
    @property
    def registered(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def record(self) -> StateRecord | None: ...  # noqa: D102
    @property
    def problems(self) -> dict[str, str]: ...  # noqa: D102
    @property
    def problem(self) -> str: ...  # noqa: D102
    @property
    def closed(self) -> int: ...  # noqa: D102
    @property
    def rewards(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def seconds(self) -> float: ...  # noqa: D102


class Logging(Protocol):
    """What a logger says."""

    @property
    def rows(self) -> Sequence[StepMetrics]: ...  # noqa: D102
    @property
    def seconds(self) -> Mapping[str, float]: ...  # noqa: D102
    @property
    def rewards(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def used(self) -> int: ...  # noqa: D102
    @property
    def problem(self) -> str: ...  # noqa: D102


def of_coordinator(
    known: SwarmProgress, status: Coordinating, config: SwarmConfig, *, hosts: bool, starting: bool
) -> SwarmProgress:
    """The coordinator's part.

    Args:
        known: what was known before.
        status: what the coordinator says.
        config: the swarm.
        hosts: whether nodes are trained here.
        starting: whether an actor here has not come up yet.
    """
    record, state = status.record, status.state
    note = status.problem or (record.note if record else "")
    if record and record.learned_nothing:
        note = f"no group of any node had an advantage for {config.alarm_streak} rounds: nothing is learned"
    if state == ExperimentState.WAITING and hosts and not status.registered:
        state = "starting"
        note = "loading the models" if starting else "measuring held-out pass@1 before round 0"
    return replace(
        known,
        state=state,
        rewards=status.rewards,
        closed=status.closed,
        unreachable=status.problem if status.problem.startswith(AWAY_NAMES) else "",
        nodes=status.registered or known.nodes,
        problems=status.problems,
        note=note,
        local=config.local,
        records=extended(known.records, record) if record else known.records,
        open_s=status.seconds,
    )


def of_logger(
    known: SwarmProgress, said: Logging, reach: str, *, coordinates: bool, starting: bool
) -> SwarmProgress:
    """The logger's part; its nodes' rewards stand for the swarm's where another machine coordinates.

    Args:
        known: what was known before.
        said: what the logger says.
        reach: why discovery cannot write; empty while it can.
        coordinates: whether the coordinator is here.
        starting: whether an actor here has not come up yet.
    """
    note = f"rows wait on this machine's disk: {said.problem}" if said.problem else ""
    rows = extended_rows(known.rows, said.rows)
    known = replace(known, seconds=dict(said.seconds), used=said.used, rows=rows)
    unreachable = known.unreachable if coordinates else ""
    known = replace(known, unreachable=unreachable or said.problem or reach)
    if coordinates:
        return replace(known, note=known.note or note)
    state = ExperimentState.RUNNING if said.rewards else "starting" if starting else ExperimentState.WAITING
    closed = max((row.round + 1 for row in said.rows), default=0)
    return replace(known, state=state, rewards=said.rewards, closed=closed, note=note)


def picture_of(known: SwarmProgress) -> Picture:
    """What is known of a swarm, as a live view shows it."""
    records, rows = known.records, known.rows
    seconds = [closed.seconds for closed in closings(records)] if records else rounds_seconds(rows)
    round_s = round_seconds(seconds)
    notes = [known.note] if known.note else []
    notes += swarm_notes(records[-1]) if records else []
    return Picture(
        experiment=known.experiment,
        state=known.state,
        label=known.label,
        rounds=known.rounds,
        closed=known.closed,
        round_s=round_s,
        left_s=seconds_left(known.state, known.rounds - known.closed, round_s, known.open_s),
        rewards=known.rewards,
        reward=known.recent(),
        cumulative=known.cumulative,
        nodes=tuple(_line(node, known) for node in sorted({*known.nodes, *known.problems})),
        notes=tuple(notes),
    )


def _line(node: str, known: SwarmProgress) -> NodeLine:
    """The swarm's own records where there are any, else what the node itself logged here."""
    records = known.records
    line = node_line(node, records, known.local) if records else line_of_rows(node, known.rows)
    said = known.problems.get(node)
    return replace(line, problems=(said,)) if said else line
