"""Commands that show results: compare, metrics, report."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from swarm_ray.cli.arguments import EXPERIMENT, JSON, ROOT, WRITE_OVER, Command, option
from swarm_ray.cli.output import DONE, complain_of, layout, show, write
from swarm_ray.errors import UserError
from swarm_ray.experiments import compare_experiments
from swarm_ray.experiments.manage.files import asked_path, written_whole
from swarm_ray.experiments.read.experiment import open_experiment
from swarm_ray.formatting import NOTHING, change, duration, grid, large, reward_sum, share
from swarm_ray.observe.status_tables import comparison_table

if TYPE_CHECKING:
    import pandas as pd

BY = ("round", "node", "specialty", "step")
SHOWN = 20
"""Rows of a long table that are shown; the last ones."""
_Table = tuple[list[str], list[list[str]]]


def compare(arguments: argparse.Namespace) -> int:
    """Compare experiments."""
    problems: list[str] = []
    comparisons = compare_experiments(arguments.root, arguments.names, problems)
    show(comparisons, comparison_table, as_json=arguments.json)
    complain_of(problems)
    return DONE


def metrics(arguments: argparse.Namespace) -> int:
    """Show what an experiment's nodes logged."""
    if arguments.csv is not None and arguments.json:
        raise UserError("--csv and --json are two forms of the same rows; leave one of them out")
    open_experiment(arguments.root, arguments.experiment)  # a wrong name is reported before pandas is loaded
    from swarm_ray.experiments.read import frames

    problems: list[str] = []
    frame = frames.frame_by(arguments.root, arguments.experiment, arguments.by, problems)
    if arguments.json:
        write(f"{frame.reset_index(drop=frame.index.name is None).to_json(orient='records', indent=2)}\n")
    elif arguments.csv == "-":
        write(str(frames.to_csv(frame)))
    elif arguments.csv is not None:
        path = asked_path(arguments.csv)
        with written_whole(path, overwrite=arguments.overwrite) as part:
            frames.to_csv(frame, part)
        write(f"{path} ({len(frame)} rows)\n")
    else:
        width, styled = layout()
        write(metrics_table(frame, arguments.by, width=width, styled=styled))
    complain_of(problems)
    return DONE


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
    if by == "specialty":
        heads, rows = _specialties(frame)
    else:
        heads, rows = _columns(frame.set_index("node") if by == "step" else frame, by)
    shown = rows if by in {"node", "specialty"} else rows[-SHOWN:]
    table = grid(heads, shown, width=width, styled=styled)
    if len(shown) == len(rows):
        return table
    return f"{table}the last {len(shown)} of {len(rows)} {by}s; --csv and --json have all\n"


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


def _columns(frame: pd.DataFrame, by: str) -> _Table:
    columns = [[show_as(value) for value in frame[name]] for _, name, show_as in _COLUMNS[by]]
    rows = [[str(label), *row] for label, row in zip(frame.index, zip(*columns, strict=True), strict=True)]
    return ["node" if by == "step" else by, *(head for head, _, _ in _COLUMNS[by])], rows


def _there(value: float) -> float | None:
    """None for what is missing, which alone is not equal to itself."""
    return value if value == value else None  # noqa: PLR0124


def _mean(value: float) -> str:
    return share(_there(value))


def _count(value: Any) -> str:
    """A count that may be missing."""
    import pandas as pd

    return NOTHING if value is pd.NA else str(value)


def report(arguments: argparse.Namespace) -> int:
    """Write the page, and print where it is and how large."""
    from swarm_ray.observe.report import write_report

    figures = None if arguments.figures is None else asked_path(arguments.figures)
    page = f"{arguments.names[0]}.html" if arguments.output is None else arguments.output
    path = write_report(arguments.root, arguments.names, page, figures, overwrite=arguments.overwrite)
    write(f"report: {path} ({path.stat().st_size / 1000:.0f} kB)\n")
    if figures is not None:
        write(f"figures: {figures} ({sum(1 for _ in figures.iterdir())} files)\n")
    return DONE


_COLUMNS: dict[str, tuple[tuple[str, str, Callable[[Any], str]], ...]] = {
    "round": (
        ("reward", "reward", _mean),
        ("min", "reward_min", _mean),
        ("max", "reward_max", _mean),
        ("sum", "reward_sum", reward_sum),
        ("cumulative", "cumulative_reward", reward_sum),
        ("accepted", "accepted", str),
        ("missing", "missing", str),
        ("late", "late", str),
        ("external", "external", _count),
        ("time", "seconds", duration),
    ),
    "node": (
        ("round", "round", lambda number: NOTHING if number < 0 else str(number)),
        ("step", "step", str),
        ("reward", "reward", _mean),
        ("sum", "cumulative_reward", reward_sum),
        ("offered", "external_offered", large),
        ("used", "external_used", large),
        ("rejected", "external_rejected", large),
        ("tokens", "generated_tokens", large),
    ),
    "step": (
        ("round", "round", str),
        ("step", "step", str),
        ("reward", "reward", _mean),
        ("mixed", "reward_mixed", _mean),
        ("local", "local", str),
        ("external", "external", str),
        ("offered", "external_offered", str),
        ("loss", "loss", _mean),
        ("entropy", "entropy_nats", _mean),
        ("time", "seconds", duration),
    ),
}
"""Heads of a table's columns, the columns of the frame that are shown under them, and how."""
COMMANDS = (
    Command(
        "compare",
        "compare experiments",
        compare,
        (
            ROOT,
            option("names", metavar="EXPERIMENT", nargs="+", help="which, in the order of the table"),
            JSON,
        ),
    ),
    Command(
        "metrics",
        "show what an experiment's nodes logged, by round, node or specialty",
        metrics,
        (
            ROOT,
            EXPERIMENT,
            option(
                "--by",
                metavar="|".join(BY),
                choices=BY,
                default="round",
                help="a row for each (default: round)",
            ),
            option("--csv", metavar="FILE", help="write all rows as CSV; - for standard output"),
            WRITE_OVER,
            JSON,
        ),
    ),
    Command(
        "report",
        "write a page about experiments: verdict, curves, tables, incidents, sample rollouts",
        report,
        (
            ROOT,
            option(
                "names",
                metavar="EXPERIMENT",
                nargs="+",
                help="which; the first without external rollouts is the baseline",
            ),
            option(
                "-o",
                "--output",
                metavar="FILE",
                help="the page (default: EXPERIMENT.html, in this folder)",
            ),
            option(
                "--figures",
                metavar="FOLDER",
                help="also write every figure as PNG, SVG and CSV into it",
            ),
            option(
                "--overwrite",
                action="store_true",
                help="also write over files that are not a report or figure of this version",
            ),
        ),
    ),
)
