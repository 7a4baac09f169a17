"""Both figures of the SAPO paper, of one or several experiments: rewards by round, and their sums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from swarm_ray.formatting import reward_sum
from swarm_ray.observe.report.chart import (
    Cell,
    Chart,
    begin_at_zero,
    legend_below,
    name_axes,
    series_style,
    shortened,
)
from swarm_ray.observe.report.curves import Curves, curves_of, thin, thin_evenly
from swarm_ray.observe.report.evidence import Evidence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEIGHT = 3.3


def reward_charts(evidences: Sequence[Evidence]) -> list[Chart]:
    """Mean reward per round with its moving average and band, and the cumulative reward."""
    curves = [curves_of(one.stages) for one in evidences]
    labels = [f"{shortened(one.name)} ({one.split})" for one in evidences]
    windows = ", ".join(str(window) for window in dict.fromkeys(drawn.window for drawn in curves))
    smoothing = f"Thick: moving average of {windows} {'round' if windows == '1' else 'rounds'}, centred."
    return [
        Chart(
            slug="reward",
            title="Reward of own completions, by round",
            caption=f"Thin: mean over the nodes. {smoothing} Band: lowest to highest node, each smoothed likewise.",
            height=HEIGHT,
            draw=lambda figure: _draw_rewards(figure, labels, curves),
            columns=("experiment", "round", "mean", "smoothed", "lowest_node", "highest_node"),
            rows=tuple(_reward_rows(evidences, curves)),
        ),
        Chart(
            slug="cumulative",
            title="Cumulative reward of own completions",
            caption="Summed over nodes and rounds: the number in the table.",
            height=HEIGHT,
            draw=lambda figure: _draw_sums(figure, labels, curves),
            columns=("experiment", "round", "cumulative"),
            rows=tuple(
                (one.name, number, value)
                for one, drawn in zip(evidences, curves, strict=True)
                for number, value in zip(drawn.rounds, drawn.cumulative, strict=True)
            ),
        ),
    ]


def _draw_rewards(figure: Figure, labels: Sequence[str], curves: Sequence[Curves]) -> None:
    axes = figure.subplots()
    for number, (label, drawn) in enumerate(zip(labels, curves, strict=True)):
        colour, dash = series_style(number)
        places = thin_evenly(len(drawn.rounds))
        rounds = [drawn.rounds[i] for i in places]
        low, high, smooth = (
            [_drawable(values[i]) for i in places] for values in (drawn.lowest, drawn.highest, drawn.smooth)
        )
        axes.fill_between(rounds, low, high, color=colour, alpha=0.14, linewidth=0)
        raw = thin(list(zip(map(float, drawn.rounds), drawn.raw, strict=True)))
        axes.plot(
            [x for x, _ in raw], [_drawable(y) for _, y in raw], color=colour, linewidth=0.6, alpha=0.45
        )
        dot = "o" if len(rounds) == 1 else None  # a line through one point is not to be seen
        axes.plot(rounds, smooth, color=colour, linewidth=2, linestyle=dash, marker=dot, label=label)
    name_axes(axes, "round", "mean reward")
    begin_at_zero(axes)
    legend_below(figure, axes, 2)


def _draw_sums(figure: Figure, labels: Sequence[str], curves: Sequence[Curves]) -> None:
    axes = figure.subplots()
    for number, (label, drawn) in enumerate(zip(labels, curves, strict=True)):
        colour, dash = series_style(number)
        places = thin_evenly(len(drawn.rounds))
        said = f"{label}: {reward_sum(drawn.cumulative[-1])}" if places else label
        axes.plot(
            [drawn.rounds[i] for i in places],
            [drawn.cumulative[i] for i in places],
            color=colour,
            linewidth=2,
            linestyle=dash,
            marker="o" if len(places) == 1 else None,
            label=said,
        )
    name_axes(axes, "round", "cumulative reward")
    begin_at_zero(axes)
    legend_below(figure, axes, 2)


def _reward_rows(evidences: Sequence[Evidence], curves: Sequence[Curves]) -> list[tuple[Cell, ...]]:
    return [
        (one.name, *values)
        for one, drawn in zip(evidences, curves, strict=True)
        for values in zip(drawn.rounds, drawn.raw, drawn.smooth, drawn.lowest, drawn.highest, strict=True)
    ]


def _drawable(value: float | None) -> float:
    return math.nan if value is None else value
