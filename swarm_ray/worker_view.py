"""What a display shows of a worker, from what its coordinator and its logger say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from swarm_ray.config import SwarmConfig
from swarm_ray.progress import SwarmProgress
from swarm_ray.records import StateRecord, StepMetrics

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
        note = f"no group of any node had an advantage for {alarm_streak(config)} rounds: nothing is learned"
    if state == "waiting" and hosts and not status.registered:
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
    known = replace(known, seconds=dict(said.seconds), used=said.used)
    unreachable = known.unreachable if coordinates else ""
    known = replace(known, unreachable=unreachable or said.problem or reach)
    if coordinates:
        return replace(known, note=known.note or note)
    state = "running" if said.rewards else "starting" if starting else "waiting"
    closed = max((row.round + 1 for row in said.rows), default=0)
    return replace(known, state=state, rewards=said.rewards, closed=closed, note=note)


def alarm_streak(config: SwarmConfig) -> int:
    """Rounds without any advantage that raise the alarm; in a short run all of them."""
    return min(config.alarm_rounds, config.rounds)


def label(config: SwarmConfig) -> str:
    """`4 local / 4 external`."""
    return f"{config.local} local / {config.external} external"
