"""Metrics as tables for people, of the frames of `swarm_ray.experiments.read.frames`; and bytes as people say them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from swarm_ray.formatting import NOTHING, change, duration, grid, large, reward_sum, share

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 20
"""Rows of a long table that are shown; the last ones."""
_UNITS = ("B", "kB", "MB", "GB", "TB")


def metrics_table(frame: pd.DataFrame, by: str, *, width: int, styled: bool) -> str:
    """A table of metrics.

    Args:
        frame: the one that belongs to `by`.
        by: round, node, specialty or step. Of rounds and steps the last are shown, and it is said how many there are.
        width: columns of the text.
        styled: for a terminal.
    """
    if frame.empty:
        return f"no {by} to show yet\n"
    heads, rows = {"round": _rounds, "node": _nodes, "specialty": _specialties, "step": _steps}[by](frame)
    cut = rows if by in {"node", "specialty"} else rows[-SHOWN:]
    note = (
        f"the last {len(cut)} of {len(rows)} {by}s; --csv and --json have all\n"
        if len(cut) < len(rows)
        else ""
    )
    return grid(heads, cut, width=width, styled=styled) + note


def byte_count(number: int) -> str:
    """Bytes as people say them: 0 B, 12.3 kB, 456 MB."""
    size, unit = float(number), _UNITS[0]
    for larger in _UNITS[1:]:
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" or size >= 99.95 else f"{size:.1f} {unit}"


Made = tuple[list[str], list[list[str]]]


def _rounds(frame: pd.DataFrame) -> Made:
    heads = [
        "round",
        "reward",
        "min",
        "max",
        "sum",
        "cumulative",
        "accepted",
        "missing",
        "late",
        "external",
        "time",
    ]
    cells: list[tuple[str, Callable[[Any], str]]] = [
        ("reward", _mean),
        ("reward_min", _mean),
        ("reward_max", _mean),
        ("reward_sum", reward_sum),
        ("cumulative_reward", reward_sum),
        ("accepted", str),
        ("missing", str),
        ("late", str),
        ("external", _count),
        ("seconds", duration),
    ]
    return heads, _cells(frame, cells)


def _nodes(frame: pd.DataFrame) -> Made:
    heads = ["node", "round", "step", "reward", "sum", "offered", "used", "rejected", "tokens"]
    cells: list[tuple[str, Callable[[Any], str]]] = [
        ("round", lambda number: NOTHING if number < 0 else str(number)),
        ("step", str),
        ("reward", _mean),
        ("cumulative_reward", reward_sum),
        ("external_offered", large),
        ("external_used", large),
        ("external_rejected", large),
        ("generated_tokens", large),
    ]
    return heads, _cells(frame, cells)


def _steps(frame: pd.DataFrame) -> Made:
    heads = [
        "node",
        "round",
        "step",
        "reward",
        "mixed",
        "local",
        "external",
        "offered",
        "loss",
        "entropy",
        "time",
    ]
    cells: list[tuple[str, Callable[[Any], str]]] = [
        ("round", str),
        ("step", str),
        ("reward", _mean),
        ("reward_mixed", _mean),
        ("local", str),
        ("external", str),
        ("external_offered", str),
        ("loss", _mean),
        ("entropy_nats", _mean),
        ("seconds", duration),
    ]
    return heads, _cells(frame.set_index("node"), cells)


def _specialties(frame: pd.DataFrame) -> Made:
    """A row for each specialty: over all nodes, in the first and the last tenth of the rounds."""
    rounds = sorted(frame["round"].unique())
    tenth = max(1, len(rounds) // 10)
    rows = []
    for name, part in frame.groupby("specialty"):
        first = part.loc[part["round"].isin(rounds[:tenth]), "reward"].mean()
        last = part.loc[part["round"].isin(rounds[-tenth:]), "reward"].mean()
        nodes = part.groupby("node")["reward"].mean()
        spread = f"{share(nodes.min())} to {share(nodes.max())}"
        rows.append(
            [
                str(name),
                _mean(part["reward"].mean()),
                spread,
                change(_there(first), _there(last)),
                str(len(part)),
            ]
        )
    return ["specialty", "reward", "nodes", "first -> last tenth", "steps"], rows


def _cells(frame: pd.DataFrame, cells: list[tuple[str, Callable[[Any], str]]]) -> list[list[str]]:
    columns = [[show(value) for value in frame[name]] for name, show in cells]
    return [[str(label), *row] for label, row in zip(frame.index, zip(*columns, strict=True), strict=True)]


def _there(value: float) -> float | None:
    """None for what is missing, which alone is not equal to itself."""
    return value if value == value else None  # noqa: PLR0124


def _mean(value: float) -> str:
    return share(_there(value))


def _count(value: Any) -> str:
    """A count that may be missing."""
    import pandas as pd

    return NOTHING if value is pd.NA else str(value)
