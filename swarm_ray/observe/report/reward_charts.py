"""Mean reward per round and its sum, of one or several experiments: as charts of a page, and as one picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from swarm_ray.errors import UserError
from swarm_ray.experiments.read.compare import history_of
from swarm_ray.experiments.read.experiment import open_experiment
from swarm_ray.formatting import reward_sum
from swarm_ray.observe.report.chart import (
    COLOURS,
    GRID,
    Chart,
    begin_at_zero,
    legend_below,
    name_axes,
    series_style,
    shortened,
)
from swarm_ray.observe.report.curves import Curves, curves_of, thin, thin_evenly, with_gaps
from swarm_ray.observe.report.evidence import Evidence
from swarm_ray.observe.snapshot import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT = 3.3
SIZE_INCHES, DOTS_PER_INCH = (12.0, 5.0), 100
AXES_POINTS = 270.0
"""Height of the axes of the picture, roughly, in 72nds of an inch."""
_TITLE, _TEXT, _LINE_POINTS = 12, 10, 13.0


def reward_charts(evidences: Sequence[Evidence]) -> list[Chart]:
    """Mean reward per round with its moving average and band, and the cumulative reward."""
    curves = [curves_of(one.stages) for one in evidences]
    labels = [f"{shortened(one.name)} ({one.split})" for one in evidences]
    sums = [f"{name}: {reward_sum(c.cumulative[-1])}" for name, c in zip(labels, curves, strict=True)]
    named = list(zip((one.name for one in evidences), curves, strict=True))
    return [
        Chart(
            slug="reward",
            title="Reward of own completions, by round",
            caption=f"Thin: mean over the nodes. Thick: {_smoothing(curves)}, centred. Band: lowest to highest node, "
            "each smoothed likewise.",
            height=HEIGHT,
            draw=lambda figure: _panel(figure, _draw_rewards, labels, curves, "mean reward"),
            columns=("experiment", "round", "mean", "smoothed", "lowest_node", "highest_node"),
            rows=tuple(
                (name, *values)
                for name, c in named
                for values in zip(c.rounds, c.raw, c.smooth, c.lowest, c.highest, strict=True)
            ),
        ),
        Chart(
            slug="cumulative",
            title="Cumulative reward of own completions",
            caption="Summed over nodes and rounds: the number in the table.",
            height=HEIGHT,
            draw=lambda figure: _panel(figure, _draw_sums, sums, curves, "cumulative reward"),
            columns=("experiment", "round", "cumulative"),
            rows=tuple(
                (name, *values) for name, c in named for values in zip(c.rounds, c.cumulative, strict=True)
            ),
        ),
    ]


def _panel(
    figure: Figure,
    draw: Callable[[Axes, Sequence[str], Sequence[Curves]], None],
    labels: Sequence[str],
    curves: Sequence[Curves],
    what: str,
) -> None:
    """A chart of the page: what `draw` draws, with a legend below it."""
    axes = figure.subplots()
    draw(axes, labels, curves)
    name_axes(axes, "round", what)
    begin_at_zero(axes)
    legend_below(figure, axes, 2)


def _draw_rewards(axes: Axes, labels: Sequence[str], curves: Sequence[Curves]) -> None:
    """Of each experiment the band first, so that no line lies beneath it."""
    for number, (name, drawn) in enumerate(zip(labels, curves, strict=True)):
        colour, _ = series_style(number)
        places = thin_evenly(len(drawn.rounds))
        rounds = [drawn.rounds[i] for i in places]
        low, high = (with_gaps(values, places) for values in (drawn.lowest, drawn.highest))
        axes.fill_between(rounds, low, high, color=colour, alpha=0.14, linewidth=0)
        raw = thin(list(zip(map(float, drawn.rounds), drawn.raw, strict=True)))
        axes.plot(
            [x for x, _ in raw], with_gaps([y for _, y in raw]), color=colour, linewidth=0.6, alpha=0.45
        )
        _draw_line(axes, number, rounds, with_gaps(drawn.smooth, places), name)


def _draw_sums(axes: Axes, labels: Sequence[str], curves: Sequence[Curves]) -> None:
    for number, (name, drawn) in enumerate(zip(labels, curves, strict=True)):
        places = thin_evenly(len(drawn.rounds))
        _draw_line(axes, number, [drawn.rounds[i] for i in places], with_gaps(drawn.cumulative, places), name)


def _draw_line(axes: Axes, number: int, rounds: Sequence[int], values: Sequence[float], name: str) -> None:
    """The line of the experiment of that number; one through a single point would be invisible."""
    colour, dash = series_style(number)
    dot = "o" if len(rounds) == 1 else None
    axes.plot(rounds, values, color=colour, linewidth=2, linestyle=dash, marker=dot, label=name)


def _smoothing(curves: Sequence[Curves]) -> str:
    """What the thick lines are."""
    windows = ", ".join(str(window) for window in dict.fromkeys(drawn.window for drawn in curves))
    return f"moving average of {windows} {'round' if windows == '1' else 'rounds'}"


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
    labels = [f"{label(c.local, c.external)}  ({name})" for c, name in zip(configs, names, strict=True)]
    common = {
        "{} nodes": [len({node for stage in stages for node in stage.rewards}) for stages in histories],
        "{} completions per question": [config.completions for config in configs],
        "seed {}": [config.seed for config in configs],
    }
    title = "  ·  ".join(
        text.format(", ".join(map(str, dict.fromkeys(numbers)))) for text, numbers in common.items()
    )
    figure = _figure(labels, [curves_of(stages, window) for stages in histories], title)
    try:
        figure.savefig(path)
    except ValueError as error:
        raise UserError(f"{path}: no picture of this kind can be made; end its name in .png") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"{path} could not be written ({reason}); give a path that can") from error
    return path


def _figure(labels: Sequence[str], curves: Sequence[Curves], title: str) -> Figure:
    """The whole picture; made without pyplot, whose figures are global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_rewards(left, labels, curves)
    _draw_sums(right, [""] * len(labels), curves)
    _finish(
        left, f"thick: {_smoothing(curves)}; band: lowest to highest node", "mean reward of own completions"
    )
    _finish(right, "summed over nodes and rounds", "cumulative reward of own completions")
    _write_sums(right, curves)
    figure.legend(loc="outside lower center", ncols=min(2, len(labels)), fontsize=_TEXT, frameon=False)
    figure.suptitle(title, fontsize=_TITLE)
    return figure


def _finish(axes: Axes, title: str, what: str) -> None:
    """Labels, a quiet grid, and an axis that begins at 0 unless a reward is negative."""
    axes.set_title(title, fontsize=_TEXT)
    name_axes(axes, "round", what)
    axes.grid(visible=True, color=GRID, linewidth=0.6)
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
        above = max(value * points, above + _LINE_POINTS)
        axes.annotate(
            reward_sum(value),
            (last, value),
            xytext=(5, above - value * points),
            textcoords="offset points",
            va="center",
            color=COLOURS[number % len(COLOURS)],
            fontsize=_TEXT,
        )
