"""What a run cost: time by phase, and what was asked of the shared folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from drive_store import Operations
from swarm_ray.experiments.read.metrics import TimeBreakdown, time_breakdown
from swarm_ray.observe.report.chart import Chart, stacked_bars
from swarm_ray.observe.report.evidence import MOST, Evidence
from swarm_ray.sapo.phases import PHASES

KINDS = tuple(field.name for field in fields(Operations) if not field.name.startswith("bytes"))
"""Of operations on the folder."""
SKIPPED_ROUNDS = 10
"""What is loaded late is paid for in the first rounds."""


def time_of(evidence: Evidence) -> TimeBreakdown | None:
    """Where the time of a round went; None where nothing was timed."""
    found = time_breakdown(evidence.rows, first=SKIPPED_ROUNDS, last=int(MOST))
    return found if found.rounds and sum(found.seconds.values()) > 0 else None


def time_chart(evidences: Sequence[Evidence]) -> Chart | None:
    """Seconds per round by phase, a bar for each experiment; None where nothing was timed."""
    found = [(one.name, time) for one in evidences if (time := time_of(one)) is not None]
    if not found:
        return None
    parts = [(p, [time.seconds.get(p, 0.0) for _, time in found]) for p in PHASES]
    return Chart(
        slug="time",
        title="Where the time of a round went",
        caption=f"Summed over the nodes; the first {SKIPPED_ROUNDS} rounds are left out of runs that have more.",
        height=1.5 + 0.34 * len(found),
        draw=lambda figure: stacked_bars(
            figure, [name for name, _ in found], parts, "seconds per round, all nodes"
        ),
        columns=("experiment", "phase", "seconds_per_round"),
        rows=tuple((name, phase, time.seconds.get(phase, 0.0)) for name, time in found for phase in PHASES),
    )


def operations_per_round(evidence: Evidence) -> dict[str, float] | None:
    """Kind to operations on the folder per round, all processes together; None where none was told."""
    use, rounds = evidence.store_use, len(evidence.rounds)
    if use is None or not rounds:
        return None
    return {kind: use.operations.get(kind, 0) / rounds for kind in KINDS}


def store_chart(evidences: Sequence[Evidence]) -> Chart | None:
    """Operations per round by kind, a bar for each experiment; None where none was told."""
    found = [(one.name, kinds) for one in evidences if (kinds := operations_per_round(one)) is not None]
    if not found:
        return None
    parts = [(kind, [kinds[kind] for _, kinds in found]) for kind in KINDS]
    return Chart(
        slug="store",
        title="What was asked of the shared folder",
        caption="Operations per round of all processes: trainers, coordinator, discovery and logger.",
        height=1.5 + 0.34 * len(found),
        draw=lambda figure: stacked_bars(figure, [name for name, _ in found], parts, "operations per round"),
        columns=("experiment", "operation", "per_round"),
        rows=tuple((name, kind, kinds[kind]) for name, kinds in found for kind in KINDS),
    )
