"""Live progress: a table redrawn in a terminal or notebook, occasional lines anywhere else."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from swarm_ray.formatting import clean, duration
from swarm_ray.observe.live_tables import WARNING, swarm_table
from swarm_ray.observe.snapshot import ExperimentSnapshot
from swarm_ray.observe.view import SwarmView, one_line

if TYPE_CHECKING:
    from IPython.display import DisplayHandle

LINE_EVERY_S = 5.0
NOTEBOOK_COLUMNS = 120
NOTEBOOK_PAGE = '<pre style="overflow-x:auto;line-height:1.25">{code}</pre>'
NOTEBOOK_COLOURS = TerminalTheme(
    (255, 255, 255),
    (25, 25, 25),
    [
        (25, 25, 25),
        (226, 76, 76),
        (38, 150, 80),
        (193, 120, 0),
        (60, 120, 220),
        (180, 100, 200),
        (20, 145, 165),
        (140, 140, 140),
    ],
)
"""A cell may be light or dark: each of these has a contrast of 3 to 1 with both."""


class Display:
    """Shows what is going on; this one shows nothing."""

    def step(self, text: str, share: float | None = None) -> None:
        """Show a preparation step, and the share of it that is done."""

    def tell(self, text: str) -> None:
        """Print a line that stays."""

    def show(self, swarms: Sequence[ExperimentSnapshot]) -> None:
        """Show the swarms as they are now."""

    def paint(self, snapshot: ExperimentSnapshot) -> None:
        """Show one swarm as it is now."""

    def close(self) -> None:
        """End the display, which leaves the last output. Harmless when repeated."""


class LiveDisplay(Display):
    """Redraws in place."""

    def __init__(self, console: Console) -> None:
        self._began = time.monotonic()
        self._live = Live(console=console, refresh_per_second=4, transient=False)

    def close(self) -> None:
        """Leave what was drawn last."""
        self._live.stop()

    def step(self, text: str, share: float | None = None) -> None:
        """A line with the seconds so far, and a bar."""
        line = Text(f"{self._elapsed()}  {text}")
        bar = [ProgressBar(total=1.0, completed=share, width=40)] if share is not None else []
        self._draw(Group(line, *bar))

    def tell(self, text: str) -> None:
        """A line above what is redrawn."""
        self._live.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def show(self, swarms: Sequence[ExperimentSnapshot]) -> None:
        """One swarm with its nodes; of several a row each, and what is wrong."""
        if len(swarms) == 1:
            self._draw(SwarmView(swarms[0], f"{self._elapsed()}  "))
            return
        head = Text(f"{self._elapsed()}  rewards are of own completions, mean over the nodes")
        lines = [Text(line, style=WARNING) for line in _warnings(swarms)]
        self._draw(Group(head, swarm_table(swarms, self._width()), *lines))

    def _width(self) -> int:
        return self._live.console.width

    def paint(self, snapshot: ExperimentSnapshot) -> None:
        """The swarm with its nodes, as much as fits."""
        self._draw(SwarmView(snapshot))

    def _draw(self, drawing: RenderableType) -> None:
        self._live.start()
        self._live.update(drawing)

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._began:4.0f} s"


class NotebookDisplay(LiveDisplay):
    """Redraws one output of a cell in place; rich's own way needs widgets, which not every notebook has."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._shown: DisplayHandle | None = None

    def close(self) -> None:
        """Nothing to end."""

    def tell(self, text: str) -> None:
        """A separate line below the output."""
        print(text, file=sys.stderr)  # noqa: T201

    def _width(self) -> int:
        return NOTEBOOK_COLUMNS

    def _draw(self, drawing: RenderableType) -> None:
        from IPython.display import display

        console = Console(file=io.StringIO(), record=True, force_jupyter=False, width=NOTEBOOK_COLUMNS)
        console.print(drawing)
        page = console.export_html(
            theme=NOTEBOOK_COLOURS, inline_styles=True, code_format=NOTEBOOK_PAGE, clear=False
        )
        data = {"text/plain": console.export_text(), "text/html": page}
        if self._shown is None:
            self._shown = display(data, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._shown.update(data, raw=True)  # type: ignore[no-untyped-call]


class LineDisplay(Display):
    """Prints a line on every change, and every few seconds while the swarm runs."""

    def __init__(self, console: Console) -> None:
        self._console, self._began = console, time.monotonic()
        self._last, self._said = -LINE_EVERY_S, ""

    def step(self, text: str, share: float | None = None) -> None:
        """A line, at most every few seconds for the same text."""
        self._print(text + ("" if share is None else f" ({share:.0%})"), about=text)

    def tell(self, text: str) -> None:
        """A line."""
        self._print(text)

    def show(self, swarms: Sequence[ExperimentSnapshot]) -> None:
        """One line for all swarms."""
        parts = []
        for swarm in swarms:
            reward = "" if swarm.reward is None else f", reward {swarm.reward:.3f}"
            left = "" if swarm.left_s is None else f", {duration(swarm.left_s)} left"
            parts.append(
                f"{swarm.label}: {swarm.state}, round {swarm.closed} of {swarm.rounds}{reward}{left}"
            )
        self._print(" | ".join(parts + _warnings(swarms)), about=" ".join(s.state for s in swarms))

    def paint(self, snapshot: ExperimentSnapshot) -> None:
        """One line."""
        self._print(one_line(snapshot), about=" ".join([snapshot.state, *snapshot.alarms]))

    def _print(self, text: str, about: str = "") -> None:
        """Print what is about something else than the line before, and about the same every few seconds."""
        now = time.monotonic()
        if about != self._said or not about or now - self._last >= LINE_EVERY_S:
            self._last = now
            head = f"{now - self._began:4.0f} s  "
            self._console.print(head + text, highlight=False, markup=False, soft_wrap=True)
        self._said = about or self._said


class RunConsole(Console):
    """Standard error, whose reader may close it at any time (`2>&1 | head`); the run continues."""

    def on_broken_pipe(self) -> None:
        """Stay silent from now on; rich would end the process."""
        self.quiet = True


def choose_display(*, show: bool) -> Display:
    """Live in a terminal or a notebook, lines elsewhere; on standard error, so that results stay apart."""
    return display_on(RunConsole(stderr=True)) if show else Display()


def display_on(console: Console) -> Display:
    """Live in a notebook's cell, or on a console that is a terminal; lines on any other."""
    if _in_notebook():
        return NotebookDisplay()
    return LiveDisplay(console) if console.is_terminal else LineDisplay(console)


def _in_notebook() -> bool:
    """Whether a notebook's kernel runs this code; its package may be loaded for other reasons."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def _warnings(swarms: Sequence[ExperimentSnapshot]) -> list[str]:
    """Warnings beside the figures."""
    lines = [f"{swarm.label}: {note}" for swarm in swarms for note in swarm.notes[:1]]
    lines += [f"{s.label}: {n.node}: {text}" for s in swarms for n in s.nodes for text in n.problems]
    return [clean(line) for line in lines]
