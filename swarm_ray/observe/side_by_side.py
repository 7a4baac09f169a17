"""Several swarms that one driver runs at the same time: a row for each, and what a person should know beside it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from swarm_ray.formatting import NOTHING, clean, duration
from swarm_ray.observe.bars import sparkline
from swarm_ray.observe.progress import SwarmProgress
from swarm_ray.observe.view import fitting, plain_table
from swarm_ray.runtime.worker_view import picture_of

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
"""The column of a table with the largest goes first where there is no room."""


def swarms_table(swarms: Sequence[SwarmProgress], width: int) -> Table:
    """A row for each swarm, with as many columns as there is room for."""
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


def _cells(swarm: SwarmProgress) -> dict[str, str]:
    recent, picture = swarm.recent(), picture_of(swarm)
    return {
        "swarm": swarm.label,
        "state": swarm.state,
        "round": f"{swarm.closed} of {swarm.rounds}",
        "a round": NOTHING if picture.round_s is None else duration(picture.round_s),
        "left": NOTHING if picture.left_s is None else duration(picture.left_s),
        "mean 10": NOTHING if recent is None else f"{recent:.3f}",
        "cumulative": f"{swarm.cumulative:.1f}",
        "external used": str(swarm.used),
    }


def remarks(swarms: Sequence[SwarmProgress]) -> list[str]:
    """What a person should know beside the figures."""
    lines = [f"{s.label}: {s.note}" for s in swarms if s.note]
    lines += [f"{s.label}: {node}: {text}" for s in swarms for node, text in s.problems.items()]
    return [clean(line) for line in lines]
