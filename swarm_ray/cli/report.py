"""The command `report`: writes experiments as a page."""

from __future__ import annotations

import argparse

from swarm_ray.cli.arguments import Parser, add_root
from swarm_ray.cli.output import DONE, write


def define_report(command: Parser) -> None:
    """Options of `report`."""
    add_root(command)
    command.add_argument(
        "names",
        metavar="EXPERIMENT",
        nargs="+",
        help="which; the first without external rollouts is the baseline",
    )
    command.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="the page (default: EXPERIMENT.html, in this folder)",
    )
    command.add_argument(
        "--figures", metavar="FOLDER", help="also write every figure as PNG, SVG and CSV into it"
    )
    command.add_argument(
        "--overwrite",
        action="store_true",
        help="also write over files that are not a report or figure of this version",
    )
    command.set_defaults(words="names")


def report(arguments: argparse.Namespace) -> int:
    """Write the page, and print where it is and how large."""
    from swarm_ray.experiments.manage.files import asked_path
    from swarm_ray.observe.report import write_report

    figures = None if arguments.figures is None else asked_path(arguments.figures)
    page = f"{arguments.names[0]}.html" if arguments.output is None else arguments.output
    path = write_report(arguments.root, arguments.names, page, figures, overwrite=arguments.overwrite)
    write(f"report: {path} ({path.stat().st_size / 1000:.0f} kB)\n")
    if figures is not None:
        write(f"figures: {figures} ({sum(1 for _ in figures.iterdir())} files)\n")
    return DONE
