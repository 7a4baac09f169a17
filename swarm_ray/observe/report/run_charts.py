"""Charts of one run: held-out pass@1, whose rollouts were used, I and J, time and store operations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from drive_store import Operations
from swarm_ray.experiments.read.metrics import TimeBreakdown, time_breakdown
from swarm_ray.observe.report.chart import (
    COLOURS,
    FAINT,
    INK,
    Cell,
    Chart,
    begin_at_zero,
    legend_below,
    name_axes,
    series_style,
    shortened,
    stacked_bars,
)
from swarm_ray.observe.report.curves import moving_average, thin_evenly
from swarm_ray.observe.report.evidence import MOST, Evidence
from swarm_ray.observe.report.findings import mean_by_specialty
from swarm_ray.sapo.phases import PHASES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MOST_NODES = 40
"""A matrix of more nodes shows those that learned most from others."""
_NUMBERS_UP_TO = 12
_OFFERED = "Offered: before the filter and the selection."
_NOT_OFFERED = "J is 0: what others offer is not looked at."

Shares = dict[str, tuple[float, float]]


def specialty_shares(evidence: Evidence) -> Shares:
    """Specialty to mean held-out pass@1 before and after, over the nodes that measured both."""
    first, last = (
        mean_by_specialty([both[side] for both in evidence.evaluations.values()]) for side in (0, 1)
    )
    order = [s.name for s in evidence.config.tasks.specialties]
    return {name: (first[name], last[name]) for name in order if name in first and name in last}


def specialty_chart(evidences: Sequence[Evidence]) -> Chart | None:
    """Pass@1 per specialty, before and after; None where nobody measured both."""
    found = [(n, one.name, shares) for n, one in enumerate(evidences) if (shares := specialty_shares(one))]
    specialties = list(dict.fromkeys(specialty for _, _, shares in found for specialty in shares))
    if not found:
        return None
    return Chart(
        slug="pass-at-1",
        title="Held-out pass@1, by specialty",
        caption="Hollow: before the first round. Filled: after the last. Mean over the nodes.",
        height=0.9 + len(specialties) * (0.16 + 0.11 * len(found)) + 0.18 * ((len(found) + 1) // 2),
        draw=lambda figure: _draw_specialties(figure, specialties, found),
        columns=("experiment", "specialty", "start", "end"),
        rows=tuple((name, s, *shares[s]) for _, name, shares in found for s in shares),
    )


def used_matrix(evidence: Evidence) -> tuple[list[str], dict[tuple[str, str], int]]:
    """Nodes, and (learner, source) to the external rollouts of the source that the learner trained on."""
    used: Counter[tuple[str, str]] = Counter()
    for row in evidence.rows:
        known = {source: n for source, n in row.counters.used_from.items() if n and source in evidence.nodes}
        used.update({(row.node, source): count for source, count in known.items()})
    involved = {node for pair in used for node in pair}
    weight = {n: sum(count for pair, count in used.items() if n in pair) for n in involved}
    most = sorted(sorted(involved), key=lambda node: -weight[node])[:MOST_NODES]
    return sorted(most, key=lambda node: (len(node), node)), used


def matrix_chart(evidence: Evidence, slug: str) -> Chart | None:
    """Who learned from whom; None where no external rollout was used."""
    nodes, used = used_matrix(evidence)
    if not used:
        return None
    return Chart(
        slug=slug,
        title=f"{evidence.name} ({evidence.split}): rollouts used",
        caption="Row: who learned. Column: whose rollouts. The stronger the colour, the more.",
        height=min(6.0, 1.0 + 0.3 * len(nodes)),
        draw=lambda figure: _draw_matrix(figure, nodes, used),
        columns=("learner", "source", "rollouts_used"),
        rows=tuple((learner, source, count) for (learner, source), count in sorted(used.items())),
    )


def batch_chart(evidence: Evidence, slug: str) -> Chart | None:
    """I and J over time; None where nothing was logged."""
    numbers = _per_round(evidence)
    if not numbers:
        return None
    window = max(1, min(100, len(numbers) // 20))
    smoothing = f", moving average of {window} rounds" if window > 1 else ""
    return Chart(
        slug=slug,
        title=f"{evidence.name} ({evidence.split}): rollouts per node and round",
        caption=f"Mean over the nodes{smoothing}. {_OFFERED if evidence.config.external else _NOT_OFFERED}",
        height=2.6,
        draw=lambda figure: _draw_batches(figure, numbers, window, offers=evidence.config.external > 0),
        columns=("round", "local", "external_used", "external_offered"),
        rows=tuple(numbers),
    )


def _draw_specialties(
    figure: Figure, specialties: Sequence[str], found: Sequence[tuple[int, str, Shares]]
) -> None:
    axes = figure.subplots()
    step = 0.7 / len(found)
    for place, (number, name, shares) in enumerate(found):
        colour, _ = series_style(number)
        rows = [specialties.index(s) - 0.35 + step * (place + 0.5) for s in shares]
        first, last = ([pair[side] for pair in shares.values()] for side in (0, 1))
        axes.hlines(rows, first, last, color=colour, linewidth=1.4, alpha=0.6)
        axes.scatter(first, rows, s=20, facecolors="none", edgecolors=colour, linewidths=1.1, zorder=3)
        axes.scatter(last, rows, s=22, color=colour, zorder=4, label=shortened(name))
    axes.set_yticks(range(len(specialties)), specialties)
    axes.set(ylim=(len(specialties) - 0.5, -0.5), xlim=(-0.03, 1.03), xlabel="pass@1")
    legend_below(figure, axes, 2)


def _draw_matrix(figure: Figure, nodes: Sequence[str], used: dict[tuple[str, str], int]) -> None:
    """Cells as rectangles of one colour, more or less opaque, so that they follow the page's theme."""
    from matplotlib.patches import Rectangle

    axes, most = figure.subplots(), max(used.values())
    for row, learner in enumerate(nodes):
        for column, source in enumerate(nodes):
            count = used.get((learner, source), 0)
            alpha = 0.03 + 0.47 * count / most
            corner = (column - 0.48, row - 0.46)
            axes.add_patch(Rectangle(corner, 0.96, 0.92, color=COLOURS[0], linewidth=0, alpha=alpha))
            if len(nodes) <= _NUMBERS_UP_TO:
                text = "\N{EN DASH}" if learner == source else str(count)
                axes.text(column, row, text, ha="center", va="center", color=INK, fontsize=8)
    _label_nodes(axes, nodes)


def _label_nodes(axes: Axes, nodes: Sequence[str]) -> None:
    places, size = range(len(nodes)), 8.5 if len(nodes) <= _NUMBERS_UP_TO else 6
    axes.set_xticks(places, nodes, rotation=90 if sum(map(len, nodes)) > 60 else 0, fontsize=size)
    axes.set_yticks(places, nodes, fontsize=size)
    axes.set(xlim=(-0.5, len(nodes) - 0.5), ylim=(len(nodes) - 0.5, -0.5), xlabel="from", ylabel="learner")
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)


def _per_round(evidence: Evidence) -> list[tuple[Cell, ...]]:
    """Round with mean local, external and offered rollouts over the nodes that logged it."""
    rows: dict[int, list[tuple[int, int, int]]] = {}
    for row in evidence.rows:
        rows.setdefault(row.round, []).append((row.local, row.external, row.counters.offered))
    return [
        (number, *(math.fsum(column) / len(found) for column in zip(*found, strict=True)))
        for number, found in sorted(rows.items())
    ]


def _draw_batches(figure: Figure, numbers: Sequence[tuple[Cell, ...]], window: int, *, offers: bool) -> None:
    axes = figure.subplots()
    places = thin_evenly(len(numbers))
    columns = [moving_average([float(row[k] or 0) for row in numbers], window) for k in (1, 2, 3)]
    local, external, offered = ([float(column[i] or 0) for i in places] for column in columns)
    rounds = [float(numbers[i][0] or 0) for i in places]
    both = [a + b for a, b in zip(local, external, strict=True)]
    axes.fill_between(rounds, local, color=COLOURS[0], alpha=0.75, linewidth=0, label="own (I)")
    if offers:
        axes.fill_between(
            rounds, local, both, color=COLOURS[1], alpha=0.75, linewidth=0, label="external, used (J)"
        )
        axes.plot(rounds, offered, color=FAINT, linewidth=1.2, linestyle="--", label="external, offered")
    name_axes(axes, "round", "rollouts")
    begin_at_zero(axes)
    legend_below(figure, axes, 3)


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
    return _bars(
        {one.name: time.seconds for one in evidences if (time := time_of(one)) is not None},
        PHASES,
        slug="time",
        title="Where the time of a round went",
        caption=f"Summed over the nodes; the first {SKIPPED_ROUNDS} rounds are left out of runs that have more.",
        what="seconds per round, all nodes",
        columns=("experiment", "phase", "seconds_per_round"),
    )


def operations_per_round(evidence: Evidence) -> dict[str, float] | None:
    """Kind to operations on the folder per round, all processes together; None where none was told."""
    use, rounds = evidence.store_use, len(evidence.rounds)
    if use is None or not rounds:
        return None
    return {kind: use.operations.get(kind, 0) / rounds for kind in KINDS}


def store_chart(evidences: Sequence[Evidence]) -> Chart | None:
    """Operations per round by kind, a bar for each experiment; None where none was told."""
    return _bars(
        {one.name: kinds for one in evidences if (kinds := operations_per_round(one)) is not None},
        KINDS,
        slug="store",
        title="What was asked of the shared folder",
        caption="Operations per round of all processes: trainers, coordinator, discovery and logger.",
        what="operations per round",
        columns=("experiment", "operation", "per_round"),
    )


def _bars(
    found: Mapping[str, Mapping[str, float]],
    kinds: Sequence[str],
    *,
    slug: str,
    title: str,
    caption: str,
    what: str,
    columns: tuple[str, ...],
) -> Chart | None:
    """A bar for each experiment, of its values of each kind; None without any."""
    if not found:
        return None
    parts = [(kind, [values.get(kind, 0.0) for values in found.values()]) for kind in kinds]
    return Chart(
        slug=slug,
        title=title,
        caption=caption,
        height=1.5 + 0.34 * len(found),
        draw=lambda figure: stacked_bars(figure, [*found], parts, what),
        columns=columns,
        rows=tuple((name, kind, values.get(kind, 0.0)) for name, values in found.items() for kind in kinds),
    )
