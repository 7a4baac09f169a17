"""Tables of the live view: a row per node or per swarm, the least important columns left out; sparklines."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

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
_DIGITS = re.compile(r"(\d+)")
LEFT = ("node", "swarm", "state", "curve")
"""Columns of words; numbers are set flush right."""
LEAST_CURVE, MOST_CURVE = 5, 24
Shown = TypeVar("Shown")


@dataclass(frozen=True)
class _Column(Generic[Shown]):
    head: str
    weight: int
    """The column with the largest weight is dropped first where room is short; one without weight stays."""
    cell: Callable[[Shown], str]


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
    worst = sorted(nodes, key=lambda n: (not n.problems, n.round, -(n.step_s or 0.0), _order(n)))
    return sorted(worst[:most], key=_order), sorted(worst[most:], key=_order)


def _order(node: NodeSnapshot) -> list[tuple[bool, int, str]]:
    """Sorts node-2 before node-10."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in _DIGITS.split(node.node)]


def node_table(nodes: Sequence[NodeSnapshot], width: int) -> Table:
    """As many columns as fit; names are shortened before and after columns are dropped."""
    cells = {column.head: [column.cell(node) for node in nodes] for column in _NODE_COLUMNS}
    widths = {head: max(map(len, [head, *texts])) for head, texts in cells.items()}
    longest, widths["node"] = widths["node"], min(widths["node"], SHORT_NAME)
    told = [c for c in _NODE_COLUMNS if c.weight == 0 or any(text != NOTHING for text in cells[c.head])]
    heads = fitting({c.head: (c.weight, widths[c.head]) for c in told}, width)
    room = width - sum(widths[head] + 2 for head in heads if head != "node")
    widths["node"] = max(LEAST_NAME, min(longest, room))
    cells["node"] = [_short(name, widths["node"]) for name in cells["node"]]
    table = _plain_table(heads, widths)
    for node, *row in zip(nodes, *(cells[head] for head in heads), strict=True):
        table.add_row(*map(Text, row), style=WARNING if node.problems else "dim" if node.done else "")
    return table


def _short(name: str, width: int) -> str:
    """Cut in the middle if too long: names of one worker's nodes differ at their ends."""
    tail = min(4, width // 3)
    return name if len(name) <= width else f"{name[: width - tail - 2]}..{name[-tail:]}"


def swarm_table(swarms: Sequence[ExperimentSnapshot], width: int) -> Table:
    """A row per swarm, with as many columns as fit."""
    cells = {column.head: [clean(column.cell(swarm)) for swarm in swarms] for column in _SWARM_COLUMNS}
    widths = {head: max(map(len, [head, *texts])) for head, texts in cells.items()}
    heads = fitting({c.head: (c.weight, widths[c.head]) for c in _SWARM_COLUMNS}, width - LEAST_CURVE - 2)
    room = width - sum(widths[head] + 2 for head in heads)
    highest = max((reward for swarm in swarms for reward in swarm.rewards), default=1.0)
    table = _plain_table([*heads, "curve"], {})
    for swarm, *row in zip(swarms, *(cells[head] for head in heads), strict=True):
        curve = sparkline(swarm.rewards, max(LEAST_CURVE, min(room, MOST_CURVE)), highest)
        table.add_row(*map(Text, row), curve)
    return table


def sparkline(values: Sequence[float], width: int, highest: float) -> str:
    """Means of `width` equal parts of `values` as bars, against `highest`."""
    if not values or not 0 < highest < math.inf:
        return ""
    values = [value if math.isfinite(value) else 0.0 for value in values]
    size = max(1, -(-len(values) // width))
    means = [sum(part) / len(part) for i in range(0, len(values), size) if (part := values[i : i + size])]
    return "".join(SPARKS[min(7, max(0, round(7 * m / highest)))] for m in means)


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


def _plain_table(heads: Sequence[str], widths: Mapping[str, int]) -> Table:
    """Heads over a rule, and nothing else; columns without a width are as wide as they need to be."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for head in heads:
        table.add_column(
            head, justify="left" if head in LEFT else "right", no_wrap=True, width=widths.get(head)
        )
    return table


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


_NODE_COLUMNS: tuple[_Column[NodeSnapshot], ...] = (
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
_SWARM_COLUMNS: tuple[_Column[ExperimentSnapshot], ...] = (
    _Column("swarm", 0, lambda s: s.label),
    _Column("state", 0, lambda s: s.state),
    _Column("round", 0, lambda s: f"{s.closed} of {s.rounds}"),
    _Column("a round", 5, lambda s: seconds(s.round_s)),
    _Column("left", 1, lambda s: seconds(s.left_s)),
    _Column("mean 10", 3, lambda s: share(s.reward)),
    _Column("cumulative", 2, lambda s: NOTHING if s.cumulative is None else f"{s.cumulative:.1f}"),
    _Column("external used", 4, lambda s: str(s.used)),
)
