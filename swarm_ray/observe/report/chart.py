"""A figure of the report: drawn once, shown inside the page, and written as PNG, SVG and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarm_ray.experiments.manage.files import WRITER, written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Those of Okabe and Ito, which people with any colour vision tell apart; then they begin again, dashed."""
INK, FAINT, GRID = "#1b2330", "#5a6472", "#dde2e8"
"""Text, lesser text and lines; like all colours here they become those of the page's theme."""
MORE_COLOURS = ("#8C6D1F", "#6A51A3", "#7F7F7F")
STACKED = (*COLOURS[:6], *MORE_COLOURS, "#999933")
"""Of parts that are stacked, ten at most: phases and kinds of operations."""
WIDTH_INCHES = 4.8
"""Of every figure: so its text is readable on a telephone, and two stand side by side on a screen."""
DOTS_PER_INCH = 200
_LONG_LABEL = 30
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "swarm-ray",
    "text.parse_math": False,  # a name with two $ in it is a name
    "font.size": 9.5,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "savefig.facecolor": "white",
}

Cell = str | float | int | None


@dataclass(frozen=True)
class Chart:
    """One figure."""

    slug: str
    """Names its files."""
    title: str
    caption: str
    """What is drawn, in words."""
    height: float
    """Inches."""
    draw: Callable[[Figure], None]
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    """The numbers that are drawn, whole, under the heads in `columns`."""

    def svg(self) -> str:
        """The figure as an SVG document, its text as text."""
        out = io.StringIO()
        with _drawn(self) as figure:
            figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        return out.getvalue()

    def marks(self, folder: Path) -> dict[Path, str]:
        """The files of the figure, and by what each is known; see `require_renewable`."""
        return {
            folder / f"{self.slug}.png": f"Software\0{WRITER}",
            folder / f"{self.slug}.svg": f"<dc:title>{WRITER}</dc:title>",
            folder / f"{self.slug}.csv": ",".join(self.columns),
        }

    def write(self, folder: Path) -> list[Path]:
        """Write PNG, SVG and CSV into a folder that is there; what stands there is written over.

        Raises:
            UserError: one of them cannot be written.
        """
        png, svg, table = paths = [*self.marks(folder)]
        with _drawn(self) as figure:
            with written_whole(png) as part:
                figure.savefig(part, format="png", dpi=DOTS_PER_INCH, metadata={"Software": WRITER})
            with written_whole(svg) as part:
                figure.savefig(part, format="svg", metadata={"Date": None, "Creator": WRITER})
        with written_whole(table) as part, part.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([self.columns, *self.rows])
        return paths


def series_style(number: int) -> tuple[str, str]:
    """Colour and dash of the experiment of that number."""
    return COLOURS[number % len(COLOURS)], "-" if number < len(COLOURS) else "--"


def name_axes(axes: Axes, x: str, y: str) -> None:
    """Say what the axes are; rounds are whole numbers."""
    axes.set(xlabel=x, ylabel=y)
    if x == "round":
        axes.locator_params(axis="x", integer=True, nbins=7)


def begin_at_zero(axes: Axes) -> None:
    """Let the y axis begin at 0, since nothing drawn is below."""
    top = axes.get_ylim()[1]
    axes.set_ylim(0, top if top > 0 else 1)


def legend_below(figure: Figure, axes: Axes, count: int) -> None:
    """One legend under the whole figure."""
    handles, labels = axes.get_legend_handles_labels()
    columns = 1 if max(map(len, labels), default=0) > _LONG_LABEL else min(count, 3)
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def stacked_bars(
    figure: Figure, labels: Sequence[str], parts: Sequence[tuple[str, Sequence[float]]], what: str
) -> None:
    """A bar for each label, of parts one after another.

    Args:
        figure: where.
        labels: of the bars, from top to bottom.
        parts: name, and one value for each bar; ten at most.
        what: the x axis is.
    """
    axes = figure.subplots()
    left = [0.0] * len(labels)
    for number, (name, values) in enumerate(parts):
        axes.barh(range(len(labels)), values, left=left, color=STACKED[number], label=name, height=0.6)
        left = [a + b for a, b in zip(left, values, strict=True)]
    axes.set_yticks(range(len(labels)), [shortened(label) for label in labels])
    axes.set(ylim=(len(labels) - 0.4, -0.6), xlabel=what)
    axes.grid(visible=False, axis="y")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)


def shortened(name: str, most: int = 22) -> str:
    """A name that is too long for a figure, cut in its middle."""
    half = most // 2
    return (
        name if len(name) <= most else f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[len(name) - half + 1 :]}"
    )


@contextmanager
def _drawn(chart: Chart) -> Iterator[Figure]:
    """Made without pyplot, whose figures are global state; the settings hold until it is saved."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(WIDTH_INCHES, chart.height), layout="constrained")
        chart.draw(figure)
        yield figure
