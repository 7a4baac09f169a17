"""Live progress: a table that is redrawn in a terminal or notebook, a line now and then anywhere else."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from swarm_ray.progress import SwarmProgress

if TYPE_CHECKING:
    from IPython.display import DisplayHandle

LINE_EVERY_S = 5.0
NOTEBOOK_COLUMNS = 120
SPARKS = " ▁▂▃▄▅▆▇█"


class Display(Protocol):
    """Shows what is going on."""

    def step(self, text: str, share: float | None = None) -> None:
        """Say what is being done before the swarm runs, and the share of it that is done."""
        ...

    def show(self, swarms: Sequence[SwarmProgress]) -> None:
        """Show the swarms as they are now."""
        ...

    def close(self) -> None:
        """End; what was shown last stays. Harmless when repeated."""
        ...


class LiveDisplay:
    """Redraws in place."""

    def __init__(self, console: Console) -> None:
        self._began = time.monotonic()
        self._live = Live(console=console, refresh_per_second=4, transient=False)

    def close(self) -> None:
        """Leave the last picture."""
        self._live.stop()

    def step(self, text: str, share: float | None = None) -> None:
        """A line with the seconds so far, and a bar."""
        line = Text(f"{self._elapsed()}  {text}")
        bar = [ProgressBar(total=1.0, completed=share, width=40)] if share is not None else []
        self._draw(Group(line, *bar))

    def show(self, swarms: Sequence[SwarmProgress]) -> None:
        """A row per swarm, and what is wrong."""
        table = Table(
            title=f"{self._elapsed()}  rewards are of own completions, mean over the nodes",
            title_justify="left",
        )
        for name in ("swarm", "state", "round", "reward, last 10", "cumulative", "external used", "curve"):
            table.add_column(name, no_wrap=True)
        for swarm in swarms:
            recent = swarm.recent()
            table.add_row(
                swarm.label,
                swarm.state,
                f"{swarm.closed} of {swarm.rounds}",
                "" if recent is None else f"{recent:.3f}",
                f"{swarm.cumulative:.1f}",
                str(swarm.used),
                sparkline(swarm.rewards, 24, max((r for s in swarms for r in s.rewards), default=1.0)),
            )
        self._draw(Group(table, *[Text(line, style="yellow") for line in remarks(swarms)]))

    def _draw(self, picture: Group) -> None:
        self._live.start()
        self._live.update(picture)

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._began:4.0f} s"


class NotebookDisplay(LiveDisplay):
    """Redraws one output of a cell in place; rich's own way needs widgets, which not every notebook has."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._shown: DisplayHandle | None = None

    def close(self) -> None:
        """Nothing to end."""

    def _draw(self, picture: Group) -> None:
        from IPython.display import display

        console = Console(file=io.StringIO(), record=True, force_jupyter=False, width=NOTEBOOK_COLUMNS)
        console.print(picture)
        page = console.export_html(inline_styles=True, code_format="<pre>{code}</pre>", clear=False)
        data = {"text/plain": console.export_text(), "text/html": page}
        if self._shown is None:
            self._shown = display(data, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._shown.update(data, raw=True)  # type: ignore[no-untyped-call]


class LineDisplay:
    """Prints a line when something new is done, and every few seconds while it runs."""

    def __init__(self, console: Console) -> None:
        self._console, self._began = console, time.monotonic()
        self._last, self._said = -LINE_EVERY_S, ""

    def close(self) -> None:
        """Nothing to end."""

    def step(self, text: str, share: float | None = None) -> None:
        """A line, at most every few seconds for the same text."""
        percent = "" if share is None else f" ({share:.0%})"
        self._print(text + percent, new=text != self._said)
        self._said = text

    def show(self, swarms: Sequence[SwarmProgress]) -> None:
        """One line for all swarms."""
        parts = []
        for swarm in swarms:
            recent = swarm.recent()
            reward = "" if recent is None else f", reward {recent:.3f}"
            parts.append(f"{swarm.label}: {swarm.state}, round {swarm.closed} of {swarm.rounds}{reward}")
        text = " | ".join(parts + remarks(swarms))
        states = " ".join(s.state for s in swarms)
        self._print(text, new=states != self._said)
        self._said = states

    def _print(self, text: str, *, new: bool) -> None:
        now = time.monotonic()
        if new or now - self._last >= LINE_EVERY_S:
            self._last = now
            self._console.print(f"{now - self._began:4.0f} s  {text}", highlight=False, soft_wrap=True)


class NoDisplay:
    """Shows nothing."""

    def close(self) -> None:
        """Nothing to end."""

    def step(self, text: str, share: float | None = None) -> None:
        """Nothing."""

    def show(self, swarms: Sequence[SwarmProgress]) -> None:
        """Nothing."""


def choose_display(*, show: bool) -> Display:
    """Live in a terminal or a notebook, lines elsewhere; on standard error, so that results stay apart."""
    if not show:
        return NoDisplay()
    if "ipykernel" in sys.modules:
        return NotebookDisplay()
    console = Console(stderr=True)
    return LiveDisplay(console) if console.is_terminal else LineDisplay(console)


def sparkline(values: Sequence[float], width: int, highest: float) -> str:
    """Means of `width` equal parts of `values` as bars, against `highest`."""
    if not values or highest <= 0:
        return ""
    size = max(1, -(-len(values) // width))
    means = [sum(part) / len(part) for i in range(0, len(values), size) if (part := values[i : i + size])]
    return "".join(SPARKS[min(8, max(0, round(8 * m / highest)))] for m in means)


def remarks(swarms: Sequence[SwarmProgress]) -> list[str]:
    """What a person should know beside the figures."""
    lines = [f"{s.label}: {s.note}" for s in swarms if s.note]
    return lines + [f"{s.label}: {node}: {text}" for s in swarms for node, text in s.problems.items()]
