"""The figures of a sweep: rewards by round, averaged over the seeds, and where every run ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from swarm_ray.experiments.read.compare import mean
from swarm_ray.observe.report.chart import (
    INK,
    Chart,
    begin_at_zero,
    legend_below,
    name_axes,
    series_style,
    shortened,
)
from swarm_ray.observe.report.curves import curves_of, thin_evenly, with_gaps
from swarm_ray.sweeps.results import MEASURES, Measure, PointResult, SweepResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CURVES = 12
"""Grid points in one figure; more could not be told apart, so only the first ones are drawn."""
HEIGHT, ROW_HEIGHT, EDGE_HEIGHT = 3.4, 0.3, 1.1


@dataclass(frozen=True)
class SeedCurves:
    """One grid point, round by round."""

    label: str
    mean: list[float | None]
    """Over the seeds, of the moving averages."""
    low: list[float | None]
    """The lowest seed's."""
    high: list[float | None]


def sweep_charts(result: SweepResult) -> list[Chart]:
    """Curves of all grid points, and one figure of dots and intervals for each measure."""
    return [curve_chart(result), *[dot_chart(result, measure) for measure in MEASURES]]


def curve_chart(result: SweepResult) -> Chart:
    """Mean reward by round."""
    drawn = [seed_curves(point) for point in result.points if point.runs][:MOST_CURVES]
    left_out = sum(bool(point.runs) for point in result.points) - len(drawn)
    more = f" {left_out} more settings are in the CSV of the runs only." if left_out else ""
    return Chart(
        slug="curves",
        title="Reward of own completions, by round",
        caption=(
            "Mean over nodes and seeds of the moving average (a tenth of the rounds). "
            f"Band: lowest to highest seed.{more}"
        ),
        height=HEIGHT,
        draw=lambda figure: _draw_curves(figure, drawn),
        columns=("setting", "round", "mean", "lowest_seed", "highest_seed"),
        rows=tuple(
            (curve.label, number, *row)
            for curve in drawn
            for number, row in enumerate(zip(curve.mean, curve.low, curve.high, strict=True))
        ),
    )


def dot_chart(result: SweepResult, measure: Measure) -> Chart:
    """A line for each grid point with a dot for each run, the mean and its interval."""
    return Chart(
        slug=measure.key.replace("_", "-"),
        title=measure.title[0].upper() + measure.title[1:],
        caption=f"{measure.meaning[0].upper()}{measure.meaning[1:]}. Dots: runs. Bar: mean, 95 % bootstrap interval.",
        height=EDGE_HEIGHT + ROW_HEIGHT * len(result.points),
        draw=lambda figure: _draw_dots(figure, result.points, measure),
        columns=("setting", "seed", measure.key),
        rows=tuple(
            (point.point.label, seed, value)
            for point in result.points
            for seed, value in point.figures[measure.key].values.items()
        ),
    )


def seed_curves(point: PointResult) -> SeedCurves:
    """The smoothed curves of a grid point's runs, put together; shorter runs end earlier."""
    smooth = [curves_of(run.stages).smooth for run in point.runs]
    known = [[value for value in column if value is not None] for column in zip_longest(*smooth)]
    return SeedCurves(
        label=point.point.label,
        mean=[mean(column) for column in known],
        low=[min(column, default=None) for column in known],
        high=[max(column, default=None) for column in known],
    )


def _draw_curves(figure: Figure, drawn: Sequence[SeedCurves]) -> None:
    axes = figure.subplots()
    for number, curve in enumerate(drawn):
        colour, dash = series_style(number)
        places = thin_evenly(len(curve.mean))
        mean, low, high = (with_gaps(line, places) for line in (curve.mean, curve.low, curve.high))
        axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(places, mean, color=colour, linestyle=dash, linewidth=1.8, label=shortened(curve.label, 30))
    name_axes(axes, "round", "reward")
    begin_at_zero(axes)
    if drawn:
        legend_below(figure, axes, 2)


def _draw_dots(figure: Figure, points: Sequence[PointResult], measure: Measure) -> None:
    axes = figure.subplots()
    for place, point in enumerate(points):
        found = point.figures[measure.key]
        colour, _ = series_style(place)
        values = list(found.values.values())
        [dots] = axes.plot(values, [place] * len(values), "o", color=colour, alpha=0.55, markersize=5)
        dots.set(markeredgewidth=0, clip_on=False)
        if found.interval is None:
            continue
        axes.plot([found.interval.mean], [place + 0.22], "|", color=INK, markersize=9, markeredgewidth=1.8)
        if found.interval.low is not None and found.interval.high is not None:
            axes.plot([found.interval.low, found.interval.high], [place + 0.22] * 2, color=INK, linewidth=1.1)
    axes.set_yticks(range(len(points)), [shortened(p.point.label, 30) for p in points])
    axes.set_ylim(len(points) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(measure.title)
    axes.set_xlim(left=0)
