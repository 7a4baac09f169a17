"""Parts of live displays: a row per node or per swarm, the least important columns left out; bars of characters."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from swarm_ray.experiments.read.liveness import NOW_S
from swarm_ray.formatting import NOTHING, clean, count, duration, large, share
from swarm_ray.observe.snapshot import ExperimentSnapshot, NodeSnapshot

MOST_NODES = 12
"""Most nodes with their own row."""
SHORT_NAME, LEAST_NAME = 16, 6
WARNING = "yellow"
"""Style of problems."""
SPARKS = "▁▂▃▄▅▆▇█"
BAR = ("█", "░")
ASCII_BAR = ("#", ".")
_DIGITS = re.compile(r"(\d+)")
LEFT = ("swarm", "state", "curve")
LEAST_CURVE, MOST_CURVE = 5, 24
WEIGHTS = {
    "swarm": 0,
    "state": 0,
    "round": 0,
    "left": 1,
    "cumulative": 2,
    "mean 10": 3,
    "external used": 4,
    "a round": 5,
}
"""The column with the largest weight is dropped first where room is short."""


@dataclass(frozen=True)
class _Column:
    head: str
    weight: int
    """The column with the largest weight is dropped first where room is short."""
    cell: Callable[[NodeSnapshot], str]


def choose(
    nodes: Sequence[NodeSnapshot], most: int = MOST_NODES
) -> tuple[list[NodeSnapshot], list[NodeSnapshot]]:
    """The nodes that have rows, and the others; those with problems come first, then those furthest behind.

    Args:
        nodes: all of them.
        most: available rows.

    Returns:
        Both lists by name, numbers in names by their size.
    """
    worst = sorted(nodes, key=lambda n: (not n.problems, n.round, -(n.step_s or 0.0), _order(n.node)))
    return sorted(worst[:most], key=lambda n: _order(n.node)), sorted(
        worst[most:], key=lambda n: _order(n.node)
    )


def _order(node: str) -> list[tuple[bool, int, str]]:
    """Sorts node-2 before node-10."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in _DIGITS.split(node)]


def node_table(nodes: Sequence[NodeSnapshot], width: int) -> Table:
    """As many columns as fit; names are shortened before and after columns are dropped."""
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
        style = WARNING if node.problems else "dim" if node.done else ""
        row = [cells[column.head][i] for column in shown]
        table.add_row(
            *[Text(_short(text, widths["node"])) for text in row[:1]], *map(Text, row[1:]), style=style
        )
    return table


def _short(name: str, width: int) -> str:
    """Cut in the middle if too long: names of one worker's nodes differ at their ends."""
    tail = min(4, width // 3)
    return name if len(name) <= width else f"{name[: width - tail - 2]}..{name[-tail:]}"


def swarm_table(swarms: Sequence[ExperimentSnapshot], width: int) -> Table:
    """A row per swarm, with as many columns as fit."""
    rows = [_cells(swarm) for swarm in swarms]
    columns = {head: (WEIGHTS[head], max(map(len, [head, *(row[head] for row in rows)]))) for head in rows[0]}
    heads = fitting(columns, width - LEAST_CURVE - 2)
    room = width - sum(columns[head][1] + 2 for head in heads)
    highest = max((reward for swarm in swarms for reward in swarm.rewards), default=1.0)
    table = plain_table()
    for head in (*heads, "curve"):
        table.add_column(head, no_wrap=True, justify="left" if head in LEFT else "right")
    for swarm, row in zip(swarms, rows, strict=True):
        curve = sparkline(swarm.rewards, max(LEAST_CURVE, min(room, MOST_CURVE)), highest)
        table.add_row(*[Text(clean(row[head])) for head in heads], curve)
    return table


def _cells(swarm: ExperimentSnapshot) -> dict[str, str]:
    return {
        "swarm": swarm.label,
        "state": swarm.state,
        "round": f"{swarm.closed} of {swarm.rounds}",
        "a round": seconds(swarm.round_s),
        "left": seconds(swarm.left_s),
        "mean 10": share(swarm.reward),
        "cumulative": NOTHING if swarm.cumulative is None else f"{swarm.cumulative:.1f}",
        "external used": str(swarm.used),
    }


def sparkline(values: Sequence[float], width: int, highest: float) -> str:
    """Means of `width` equal parts of `values` as bars, against `highest`."""
    if not values or not 0 < highest < math.inf:
        return ""
    values = [value if math.isfinite(value) else 0.0 for value in values]
    size = max(1, -(-len(values) // width))
    means = [sum(part) / len(part) for i in range(0, len(values), size) if (part := values[i : i + size])]
    return "".join(SPARKS[min(7, max(0, round(7 * m / highest)))] for m in means)


def bar(done: float, width: int, *, plain: bool) -> str:
    """A share of one as a bar; plain for a console that has ASCII alone."""
    full, empty = ASCII_BAR if plain else BAR
    filled = int(done * width)
    return full * filled + empty * (width - filled)


def fitting(columns: Mapping[str, tuple[int, int]], width: int) -> list[str]:
    """The columns that there is room for, in their order.

    Args:
        columns: head to weight and width; the largest weight is dropped first; columns without weight stay.
        width: of the whole table; two more columns of letters stand between every two.
    """
    shown = dict(columns)
    while sum(wide + 2 for _, wide in shown.values()) > width + 2 and any(w for w, _ in shown.values()):
        del shown[max(shown, key=lambda head: shown[head][0])]
    return list(shown)


def plain_table() -> Table:
    """Heads over a rule, and nothing else."""
    return Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)


def seconds(value: float | None) -> str:
    """A duration, which other nodes may claim arbitrarily."""
    return NOTHING if value is None or not math.isfinite(value) else duration(value)


def reward(value: float | None) -> str:
    """Three decimals; other nodes may claim any size."""
    return share(value) if value is None or abs(value) < 1e4 else f"{value:.0e}"


def _rate(per_s: float | None) -> str:
    if per_s is None or not math.isfinite(per_s):
        return NOTHING
    return f"{per_s:.1f}" if per_s < 10 else large(round(per_s))


def _seen(node: NodeSnapshot) -> str:
    """Seconds since the last heartbeat, with a ~ if they rely on wall clocks."""
    if node.seen_s is None:
        return NOTHING
    if node.seen_s < NOW_S:
        return "now"
    return f"{'~' if node.by_clocks else ''}{duration(node.seen_s)}"


_COLUMNS = (
    _Column("node", 0, lambda n: clean(n.node)),
    _Column("round", 0, lambda n: NOTHING if n.round < 0 else str(n.round)),
    _Column("step", 6, lambda n: count(n.step)),
    _Column("reward", 5, lambda n: reward(n.reward)),
    _Column("mean 10", 1, lambda n: reward(n.mean_reward)),
    _Column("external", 3, lambda n: NOTHING if n.external is None else f"{n.external:.0%}"),
    _Column("a step", 4, lambda n: seconds(n.step_s)),
    _Column("tokens/s", 7, lambda n: _rate(n.tokens_per_s)),
    _Column("seen", 2, _seen),
)
