"""The command that watches: a swarm's live view, from its folder alone."""

from __future__ import annotations

import argparse

from swarm_ray.cli.options import add_root
from swarm_ray.cli.output import DONE, layout, printing, write
from swarm_ray.cli.parser import Parser
from swarm_ray.errors import UserError
from swarm_ray.observe.watch import EVERY_S, snapshot_text, watch


def define_watch(command: Parser) -> None:
    """Options of `watch`."""
    add_root(command)
    command.add_argument(
        "names", metavar="EXPERIMENT", nargs="*", help="which (default: the one that is under way)"
    )
    command.add_argument(
        "--every",
        metavar="SECONDS",
        type=float,
        default=EVERY_S,
        help=f"seconds between two looks (default: {EVERY_S:g})",
    )
    command.add_argument("--once", action="store_true", help="print one snapshot and end")
    command.set_defaults(words="names")


def watch_(arguments: argparse.Namespace) -> int:
    """Show live progress of a swarm until it has ended; an interrupt is the ordinary way to leave."""
    if len(arguments.names) > 1:
        raise UserError(f"watch shows one experiment, not {len(arguments.names)}; name one")
    name = arguments.names[0] if arguments.names else None
    if arguments.once:
        width, styled = layout()
        write(snapshot_text(arguments.root, name, width=width, styled=styled))
    else:
        with printing():
            watch(arguments.root, name, every_s=arguments.every)
    return DONE
