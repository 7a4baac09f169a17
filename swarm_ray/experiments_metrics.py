"""What the nodes logged: rows of metrics, and where the time of a round went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from drive_store import read_segments
from drive_store.names import parse_registration_name
from swarm_ray.errors import MalformedFile
from swarm_ray.experiments_read import OpenExperiment
from swarm_ray.records import StepMetrics
from swarm_ray.sapo.phases import OVERHEAD, PHASES


class TimeBreakdown(msgspec.Struct, frozen=True):
    """Where the time of a round goes."""

    first: int
    """The first round that was counted."""
    last: int
    """The last one."""
    rounds: int
    """How many were counted."""
    seconds: dict[str, float]
    """Phase to seconds per round, summed over nodes; trainers that work side by side add up."""
    overhead: float | None
    """Share of publish, gather, select, report and other in all time but waiting; None without time."""


def metrics_of(experiment: OpenExperiment, problems: list[str] | None = None) -> list[StepMetrics]:
    """The rows of all nodes, by round and then by node.

    Args:
        experiment: whose.
        problems: takes a line for each segment that is torn or missing, and each row that cannot be read.

    Raises:
        MalformedFile: there is such a problem, and no list to take it.
        StoreError: the folder cannot be read.
    """
    reported: list[str] = []
    rows = [
        row for node, life in _incarnations(experiment) for row in _rows(experiment, node, life, reported)
    ]
    if problems is not None:
        problems.extend(reported)
    elif reported:
        more = f" (and {len(reported) - 1} more)" if len(reported) > 1 else ""
        raise MalformedFile(
            f"{experiment.store.root}/{reported[0]}{more}; pass a list of problems to have the rest"
        )
    return sorted(rows, key=lambda row: (row.round, row.node, row.incarnation))


def time_breakdown(rows: Sequence[StepMetrics], first: int = 10, last: int = 60) -> TimeBreakdown:
    """Where the time went, in rounds `first` to `last`.

    The first rounds are left out since what is loaded late is paid for there; a run that ended before round
    `first` is counted whole.

    Args:
        rows: of all nodes.
        first: the first round to count.
        last: the last one.
    """
    counted = [row for row in rows if first <= row.round <= last] or list(rows)
    rounds = {row.round for row in counted}
    seconds = dict.fromkeys(PHASES, 0.0)
    for row in counted:
        for phase, spent in row.seconds.items():
            seconds[phase] = seconds.get(phase, 0.0) + spent / len(rounds)
    busy = sum(seconds.values()) - seconds["wait"]
    return TimeBreakdown(
        first=min(rounds, default=-1),
        last=max(rounds, default=-1),
        rounds=len(rounds),
        seconds=seconds,
        overhead=sum(seconds[phase] for phase in OVERHEAD) / busy if busy > 0 else None,
    )


def _incarnations(experiment: OpenExperiment) -> list[tuple[str, str]]:
    """Nodes and incarnations that were announced, in one listing."""
    names = map(parse_registration_name, experiment.store.names(experiment.paths.peers_folder))
    return sorted({(name.node, name.incarnation) for name in names if name is not None})


def _rows(
    experiment: OpenExperiment, node: str, incarnation: str, problems: list[str]
) -> Iterator[StepMetrics]:
    lines = read_segments(experiment.store, experiment.paths, node, incarnation, "metrics", problems)
    for number, line in enumerate(lines):
        try:
            yield msgspec.json.decode(line, type=StepMetrics)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            folder = experiment.paths.logs_folder(node, incarnation)
            problems.append(f"{folder}: row {number} of its metrics cannot be read: {error}")
