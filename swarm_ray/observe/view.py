"""A picture as text: a head, a line on the coordinator, a row for each node, and what is wrong in words.

What does not fit into the width is left out, the least important column first; nothing is cut in the middle but
names that are very long.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from swarm_ray.experiments.read.coordinator import NOW_S
from swarm_ray.formatting import NOTHING, clean, count, duration, large, reward_sum, share, shortened
from swarm_ray.observe.bars import bar, sparkline
from swarm_ray.observe.snapshot import NodeLine, Picture, chosen
from swarm_ray.records.state import ExperimentState

BAR_WIDTH = (10, 40)
SPARK_WIDTH, LEAST_SPARK, FEWEST_SPARKS = 40, 20, 5
SHORT_NAME, LEAST_NAME = 16, 6
MOST_LINES = 12
"""Lines on what is wrong; the rest is counted."""
STYLES: dict[str, str] = {
    ExperimentState.RUNNING: "green",
    ExperimentState.FINISHED: "green",
    ExperimentState.DRAINING: "cyan",
    ExperimentState.PAUSED: "magenta",
    ExperimentState.FAILED: "red",
}
_TROUBLE = "yellow"


@dataclass(frozen=True)
class _Column:
    head: str
    weight: int
    """The column with the largest goes first where there is no room."""
    cell: Callable[[NodeLine], str]


class SwarmView:
    """Draws a picture at whatever width the console has.

    Args:
        picture: what to draw.
        clock: text before the head, such as the seconds so far.
    """

    def __init__(self, picture: Picture, clock: str = "") -> None:
        self._picture, self._clock = picture, clock

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lines and a table; plain characters where the console has no others."""
        picture, width = self._picture, options.max_width
        plain = options.ascii_only
        yield self._head()
        for line in (*picture.alarms, *([picture.result] if picture.result else [])):
            yield Text(clean(line), style="bold red" if line in picture.alarms else "bold")
        if picture.rounds:
            yield Text(progress_line(picture, width, plain=plain))
        if picture.rewards and not plain:
            yield Text(reward_line(picture, width))
        if picture.coordinator:
            yield Text(clean(picture.coordinator), style="dim")
        for line in picture.notes:
            yield Text(clean(line))
        if picture.nodes:
            yield from _nodes(picture.nodes, width)

    def _head(self) -> Text:
        picture = self._picture
        head = Text(self._clock)
        head.append(clean(picture.experiment), style="bold")
        head.append(" was " if picture.lost else " is ")
        style = _TROUBLE if picture.lost else STYLES.get(picture.state, "")
        head.append(clean(_state(picture)), style=style)
        return head.append(f"  {picture.label}" if picture.label else "", style="dim")


_STATE_WORDS: dict[str, str] = {
    ExperimentState.DRAINING: "draining: the last files and logs come in",
    "absent": "not there yet",
}


def _state(picture: Picture) -> str:
    state = _STATE_WORDS.get(picture.state, picture.state)
    return f"{state} when it was last heard of" if picture.lost else state


def progress_line(picture: Picture, width: int, *, plain: bool = False) -> str:
    """Rounds that are over, a bar where there is room, seconds per round and what is left."""
    done = min(1.0, picture.closed / picture.rounds)
    said = f"{picture.closed} of {picture.rounds} rounds"
    parts = [] if picture.round_s is None else [f"{_seconds(picture.round_s)} a round"]
    if picture.state == ExperimentState.RUNNING:
        parts.append(f"{_seconds(picture.left_s)} left")
    after = "  ".join([f"{done:4.0%}", *parts])
    least, most = BAR_WIDTH
    room = min(width - len(said) - len(after) - 4, most)
    return f"{said}  {bar(done, room, plain=plain)}  {after}" if room >= least else f"{said}  {after.strip()}"


def reward_line(picture: Picture, width: int) -> str:
    """The curve of the run, and the mean of its newest rounds."""
    after = "" if picture.reward is None else f"  {_reward(picture.reward)} in the last 10 rounds"
    total = "" if picture.cumulative is None else f", {reward_sum(picture.cumulative)} in all"
    after += total if len(after) + len(total) + LEAST_SPARK < width else ""
    room = min(width - len("reward  ") - len(after), SPARK_WIDTH)
    curve = sparkline(picture.rewards, room, max(picture.rewards)) if room >= FEWEST_SPARKS else ""
    return f"reward  {curve}{after}" if curve else f"reward{after}"


def one_line(picture: Picture) -> str:
    """A picture where nothing can be redrawn."""
    parts = [f"{picture.experiment}: {_state(picture)}"]
    if picture.rounds:
        parts.append(f"{picture.closed} of {picture.rounds} rounds")
    if picture.reward is not None:
        parts.append(f"reward {_reward(picture.reward)}")
    if picture.left_s is not None:
        parts.append(f"{_seconds(picture.left_s)} left")
    told = [picture.result, *picture.alarms, *picture.notes, *troubles(picture.nodes)]
    return clean(" | ".join([", ".join(parts), *[line for line in told if line]]))


def fitting(columns: Mapping[str, tuple[int, int]], width: int) -> list[str]:
    """The columns that there is room for, in their order.

    Args:
        columns: head to weight and width; the one with the largest weight gives way first, one without weight never.
        width: of the whole table; two more columns of letters stand between every two.
    """
    shown = dict(columns)
    while sum(wide + 2 for _, wide in shown.values()) > width + 2 and any(w for w, _ in shown.values()):
        del shown[max(shown, key=lambda head: shown[head][0])]
    return list(shown)


def plain_table() -> Table:
    """Heads over a rule, and nothing else."""
    return Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)


def troubles(nodes: Sequence[NodeLine]) -> list[str]:
    """A line for each node with which something is wrong."""
    return _limited([shortened(f"{n.node}: {'; '.join(n.problems)}") for n in nodes if n.problems])


def _limited(lines: list[str]) -> list[str]:
    over = len(lines) - MOST_LINES
    return lines if over <= 0 else [*lines[:MOST_LINES], f"and {over} more"]


def _nodes(nodes: Sequence[NodeLine], width: int) -> RenderResult:
    rows, others = chosen(nodes)
    yield _table(rows, width)
    if others:
        rounds = sorted({node.round for node in others})
        span = f"round {rounds[0]}" if len(rounds) == 1 else f"rounds {rounds[0]} to {rounds[-1]}"
        yield Text(f"and {len(others)} more, {span}", style="dim")
    for line in troubles(nodes):
        yield Text(clean(line), style=_TROUBLE)
    for line in _limited([f"{n.node}: {'; '.join(n.notes)}" for n in nodes if n.notes]):
        yield Text(clean(line), style="dim")


def _table(nodes: Sequence[NodeLine], width: int) -> Table:
    """As many columns as there is room for; names give way before columns do, and after them."""
    cells = {column.head: [column.cell(node) for node in nodes] for column in _COLUMNS}
    widths = {head: max(map(len, [head, *texts])) for head, texts in cells.items()}
    longest = widths["node"]
    widths["node"] = min(longest, SHORT_NAME)
    told = [c for c in _COLUMNS if c.weight == 0 or any(text != NOTHING for text in cells[c.head])]
    heads = fitting({c.head: (c.weight, widths[c.head]) for c in told}, width)
    shown = [column for column in told if column.head in heads]
    room = width - sum(widths[c.head] + 2 for c in shown if c.head != "node")
    widths["node"] = max(LEAST_NAME, min(longest, room))
    table = plain_table()
    for column in shown:
        left = column.head == "node"
        table.add_column(
            column.head, justify="left" if left else "right", no_wrap=True, width=widths[column.head]
        )
    for i, node in enumerate(nodes):
        style = _TROUBLE if node.problems else "dim" if node.done else ""
        row = [cells[column.head][i] for column in shown]
        table.add_row(
            *[Text(_short(text, widths["node"])) for text in row[:1]], *map(Text, row[1:]), style=style
        )
    return table


def _short(name: str, width: int) -> str:
    """Without its middle where it is too long: names of one worker's nodes differ at their ends."""
    tail = min(4, width // 3)
    return name if len(name) <= width else f"{name[: width - tail - 2]}..{name[-tail:]}"


def _seconds(seconds: float | None) -> str:
    return NOTHING if seconds is None or not math.isfinite(seconds) else duration(seconds)


def _reward(value: float | None) -> str:
    """Three places; what a stranger claims may be of any size."""
    return share(value) if value is None or abs(value) < 1e4 else f"{value:.0e}"


def _rate(per_s: float | None) -> str:
    if per_s is None or not math.isfinite(per_s):
        return NOTHING
    return f"{per_s:.1f}" if per_s < 10 else large(round(per_s))


def _seen(node: NodeLine) -> str:
    """Seconds since the last sign of life, with a ~ where they are told by wall clocks."""
    if node.seen_s is None:
        return NOTHING
    if node.seen_s < NOW_S:
        return "now"
    return f"{'~' if node.by_clocks else ''}{duration(node.seen_s)}"


_COLUMNS = (
    _Column("node", 0, lambda n: clean(n.node)),
    _Column("round", 0, lambda n: NOTHING if n.round < 0 else str(n.round)),
    _Column("step", 6, lambda n: count(n.step)),
    _Column("reward", 5, lambda n: _reward(n.reward)),
    _Column("mean 10", 1, lambda n: _reward(n.mean_reward)),
    _Column("external", 3, lambda n: NOTHING if n.external is None else f"{n.external:.0%}"),
    _Column("a step", 4, lambda n: _seconds(n.step_s)),
    _Column("tokens/s", 7, lambda n: _rate(n.tokens_per_s)),
    _Column("seen", 2, _seen),
)
