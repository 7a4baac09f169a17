"""Mean reward per round and its sum, of one or several experiments: as charts of a page, and as one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import UserError
from swarm_ray.experiments.read.compare import history_of
from swarm_ray.experiments.read.experiment import open_experiment
from swarm_ray.formatting import reward_sum
from swarm_ray.observe.report.chart import (
    COLOURS,
    Cell,
    Chart,
    begin_at_zero,
    legend_below,
    name_axes,
    series_style,
    shortened,
)
from swarm_ray.observe.report.curves import Curves, Series, curves_of, thin, thin_evenly
from swarm_ray.observe.report.evidence import Evidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
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
        dot = "o" if len(rounds) == 1 else None  # a line through one point is invisible
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


SIZE_INCHES, DOTS_PER_INCH = (12.0, 5.0), 100
AXES_POINTS = 270.0
"""Height of the axes, roughly, in 72nds of an inch."""
_TITLE, _TEXT, _LINE_POINTS = 12, 10, 13.0


def reward_figure(
    root: str,
    names: Sequence[str],
    path: Path,
    *,
    window: int | None = None,
    problems: list[str] | None = None,
) -> Path:
    """Draw experiments into one picture of 1200 x 500 pixels.

    On the left the mean reward of own completions per round: a thin line for the mean over the nodes, a thick
    one for its moving average, and a band from the lowest to the highest node's own moving average, as in the
    figures of the SAPO paper (arXiv 2509.08721). On the right its sum over nodes and rounds.

    Args:
        root: the folder that holds the experiments.
        names: which.
        path: where the picture goes; its suffix says what kind it is. It is written over.
        window: rounds of the moving average; by default a tenth of each run's, 100 at most.
        problems: as for `history_of`; what there is, is drawn.

    Returns:
        `path`.

    Raises:
        ExperimentNotFoundError: one of them is not there.
        ConfigError: the stored configuration of one is missing or was altered.
        SwarmStateError: as for `history_of`.
        UserError: the picture cannot be written, or its kind is unknown.
        StoreError: the folder cannot be read.
    """
    opened = [open_experiment(root, name) for name in names]
    configs = [experiment.config_in_force() for experiment in opened]
    histories = [history_of(experiment, problems) for experiment in opened]
    nodes = [len({node for stage in stages for node in stage.rewards}) for stages in histories]
    labels = [f"{_label(config)}  ({name})" for config, name in zip(configs, names, strict=True)]
    curves = [curves_of(stages, window) for stages in histories]
    _save(_figure(labels, curves, _title(configs, nodes)), path)
    return path


def _label(config: SwarmConfig) -> str:
    return f"{config.local} local / {config.external} external"


def _title(configs: Sequence[SwarmConfig], nodes: Sequence[int]) -> str:
    """What the experiments have in common, or each one's own."""
    said = (
        ("nodes", nodes),
        ("completions per question", [config.completions for config in configs]),
        ("seed", [config.seed for config in configs]),
    )
    texts = []
    for what, values in said:
        numbers = ", ".join(str(value) for value in dict.fromkeys(values))
        texts.append(f"seed {numbers}" if what == "seed" else f"{numbers} {what}")
    return "  ·  ".join(texts)


def _figure(labels: Sequence[str], curves: Sequence[Curves], title: str) -> Figure:
    """The whole picture; made without pyplot, whose figures are global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for number, (label, drawn) in enumerate(zip(labels, curves, strict=True)):
        colour, dash = series_style(number)
        _draw_reward_panel(left, drawn, label, colour, dash)
        right.plot(drawn.rounds, drawn.cumulative, color=colour, linewidth=2.4, linestyle=dash)
    _finish(left, _smoothing(curves), "mean reward of own completions")
    _finish(right, "summed over nodes and rounds", "cumulative reward of own completions")
    _write_sums(right, curves)
    figure.legend(loc="outside lower center", ncols=min(2, len(labels)), fontsize=_TEXT, frameon=False)
    figure.suptitle(title, fontsize=_TITLE)
    return figure


def _draw_reward_panel(axes: Axes, curves: Curves, label: str, colour: str, dash: str) -> None:
    """The band first, so that no line lies beneath it."""
    rounds, band = curves.rounds, (_with_gaps(curves.lowest), _with_gaps(curves.highest))
    axes.fill_between(rounds, *band, color=colour, alpha=0.15, linewidth=0)
    axes.plot(rounds, _with_gaps(curves.raw), color=colour, linewidth=0.7, alpha=0.4)
    dot = "o" if len(rounds) == 1 else None  # a line through one point is invisible
    smooth = _with_gaps(curves.smooth)
    axes.plot(rounds, smooth, color=colour, linewidth=2.4, linestyle=dash, marker=dot, label=label)


def _smoothing(curves: Sequence[Curves]) -> str:
    """What the thick lines and bands are."""
    windows = list(dict.fromkeys(drawn.window for drawn in curves))
    unit = "round" if windows == [1] else "rounds"
    numbers = ", ".join(str(window) for window in windows)
    return f"thick: moving average of {numbers} {unit}; band: lowest to highest node"


def _finish(axes: Axes, title: str, what: str) -> None:
    """Labels, a quiet grid, and an axis that begins at 0 unless a reward is negative."""
    axes.set_title(title, fontsize=_TEXT)
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("round", fontsize=_TEXT)
    axes.set_ylabel(what, fontsize=_TEXT)
    axes.tick_params(labelsize=_TEXT)
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.dataLim.ymin >= 0:
        axes.set_ylim(bottom=0)


def _write_sums(axes: Axes, curves: Sequence[Curves]) -> None:
    """Each sum at the end of its line, above the one below it where lines end close together."""
    ends = [(drawn.cumulative[-1], drawn.rounds[-1], i) for i, drawn in enumerate(curves) if drawn.rounds]
    low, high = axes.get_ylim()
    points = AXES_POINTS / (high - low)
    above = -math.inf
    for value, last, number in sorted(ends):
        place = max(value * points, above + _LINE_POINTS)
        above = place
        axes.annotate(
            reward_sum(value),
            (last, value),
            xytext=(5, place - value * points),
            textcoords="offset points",
            va="center",
            color=COLOURS[number % len(COLOURS)],
            fontsize=_TEXT,
        )


def _with_gaps(values: Series) -> list[float]:
    """Gaps as matplotlib knows them."""
    return [math.nan if value is None else value for value in values]


def _save(figure: Figure, path: Path) -> None:
    try:
        figure.savefig(path)
    except ValueError as error:
        raise UserError(f"{path}: no picture of this kind can be made; end its name in .png") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"{path} could not be written ({reason}); give a path that can") from error
