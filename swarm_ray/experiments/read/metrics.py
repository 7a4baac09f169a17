"""What the nodes logged: rows of metrics, and where the time of a round went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter, itemgetter

import msgspec

from drive_store import UNREADABLE, Registry, read_segments, record_in
from swarm_ray.errors import MalformedFile
from swarm_ray.experiments.read.experiment import ExperimentFolder, OpenExperiment, report
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.nodes import Registration
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
    """The rows of all nodes, one for each step that a node took, by round and then by node.

    Of a step that was logged more than once the row of its first taking counts, and where two processes went on with
    one node, that of the later incarnation.

    Args:
        experiment: whose.
        problems: takes a line for each segment that is torn or missing, and each row that cannot be read.

    Raises:
        MalformedFile: there is such a problem, and no list was passed for it.
        StoreError: the folder cannot be read.
    """
    reported: list[str] = []
    ranked = [
        ((not row.replayed, depth), row)
        for (node, life), depth in incarnations_of(experiment).items()
        for row in _rows(experiment, node, life, reported)
    ]
    ranked.sort(key=itemgetter(0), reverse=True)
    best = {(row.node, row.step): row for _, row in reversed(ranked)}
    report(reported, problems, MalformedFile)
    return sorted(best.values(), key=attrgetter("round", "node", "step"))


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


def incarnations_of(experiment: OpenExperiment) -> dict[tuple[str, str], int]:
    """Nodes and incarnations that were announced, with how many incarnations each one continues."""
    continues = predecessors_of(experiment)
    return {peer: _depth(peer, continues) for peer in sorted(continues)}


def predecessors_of(experiment: ExperimentFolder) -> dict[tuple[str, str], str]:
    """Nodes and incarnations that were announced, with the incarnation that each one continues; empty for a first."""
    registrations = Registry(experiment.view).registrations()
    said = {peer: record_in(reading, Registration) for peer, reading in registrations.items()}
    return {peer: one.succeeds if one else "" for peer, one in said.items()}  # status says what is refused


def _depth(peer: tuple[str, str], continues: dict[tuple[str, str], str]) -> int:
    node, seen = peer[0], {peer[1]}
    life = continues[peer]
    while life and life not in seen:
        seen.add(life)
        life = continues.get((node, life), "")
    return len(seen) - 1


def _rows(
    experiment: OpenExperiment, node: str, incarnation: str, problems: list[str]
) -> Iterator[StepMetrics]:
    lines = read_segments(experiment.view, node, incarnation, "metrics", problems)
    for number, line in enumerate(lines):
        try:
            yield msgspec.json.decode(line, type=StepMetrics)
        except UNREADABLE as error:
            folder = experiment.paths.logs_folder(node, incarnation)
            problems.append(f"{folder}: row {number} of its metrics cannot be read: {error}")
