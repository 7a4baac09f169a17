"""The command `metrics`: what an experiment's nodes logged, as a table, CSV or JSON."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarm_ray.cli.arguments import Parser, add_json, add_root
from swarm_ray.cli.output import DONE, complain_of, layout, write
from swarm_ray.errors import UserError
from swarm_ray.experiments.manage.files import asked_path, require_new, written_whole
from swarm_ray.experiments.read.experiment import open_experiment
from swarm_ray.formatting import NOTHING, change, duration, grid, large, reward_sum, share

if TYPE_CHECKING:
    import pandas as pd

BY = ("round", "node", "specialty", "step")
SHOWN = 20
"""Rows of a long table that are shown; the last ones."""
_Table = tuple[list[str], list[list[str]]]
_Cell = tuple[str, Callable[[Any], str]]


def define_metrics(command: Parser) -> None:
    """Options of `metrics`."""
    add_root(command)
    command.add_argument("experiment", metavar="EXPERIMENT", help="which")
    command.add_argument(
        "--by", metavar="|".join(BY), choices=BY, default="round", help="a row for each (default: round)"
    )
    command.add_argument("--csv", metavar="FILE", help="write all rows as CSV; - for standard output")
    command.add_argument("--overwrite", action="store_true", help="overwrite existing files")
    add_json(command)


def metrics(arguments: argparse.Namespace) -> int:
    """Show what an experiment's nodes logged."""
    if arguments.csv is not None and arguments.json:
        raise UserError("--csv and --json are two forms of the same rows; leave one of them out")
    open_experiment(arguments.root, arguments.experiment)  # a wrong name is reported before pandas is loaded
    from swarm_ray.experiments.read import frames

    problems: list[str] = []
    frame = _frame_by(arguments, problems)
    if arguments.json:
        write(f"{frame.reset_index(drop=frame.index.name is None).to_json(orient='records', indent=2)}\n")
    elif arguments.csv == "-":
        write(str(frames.to_csv(frame)))
    elif arguments.csv is not None:
        _write_csv(frame, asked_path(arguments.csv), overwrite=arguments.overwrite)
    else:
        width, styled = layout()
        write(metrics_table(frame, arguments.by, width=width, styled=styled))
    complain_of(problems)
    return DONE


def _frame_by(arguments: argparse.Namespace, problems: list[str]) -> pd.DataFrame:
    from swarm_ray.experiments.read import frames

    root, name = arguments.root, arguments.experiment
    if arguments.by == "node":
        return frames.nodes_frame(root, name)
    made = {"round": frames.rounds_frame, "specialty": frames.specialties_frame, "step": frames.metrics_frame}
    return made[arguments.by](root, name, problems)


def _write_csv(frame: pd.DataFrame, path: Path, *, overwrite: bool) -> None:
    from swarm_ray.experiments.read import frames

    if not overwrite:
        require_new(path)
    with written_whole(path) as part:
        frames.to_csv(frame, part)
    write(f"{path} ({len(frame)} rows)\n")


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


def _rounds(frame: pd.DataFrame) -> _Table:
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
    cells: list[_Cell] = [
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


def _nodes(frame: pd.DataFrame) -> _Table:
    heads = ["node", "round", "step", "reward", "sum", "offered", "used", "rejected", "tokens"]
    cells: list[_Cell] = [
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


def _steps(frame: pd.DataFrame) -> _Table:
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
    cells: list[_Cell] = [
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


def _specialties(frame: pd.DataFrame) -> _Table:
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


def _cells(frame: pd.DataFrame, cells: list[_Cell]) -> list[list[str]]:
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
