"""What can be written on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from swarm_ray.cli.output import write
from swarm_ray.errors import UserError

EPILOG = (
    "Exit status: 0 done, 1 a node or actor failed, 2 a mistake in the command, 3 nothing was learned, "
    "130 interrupted."
)


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose mistakes are errors of one line, and which takes no abbreviations."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving."""
        raise UserError(f"{message} (see {self.prog} --help)")

    def print_help(self, file: Any = None) -> None:
        """Print the help as all output is printed: argparse passes over what cannot be written."""
        if file is None:
            write(self.format_help())
        else:
            super().print_help(file)


@dataclass(frozen=True)
class Command:
    """One of the commands."""

    name: str
    what: str
    """What it does, as its help says it."""
    define: Callable[[Parser], None]
    """Adds its options; says in the default `words` where its free words go, "" where it takes none."""
    run: Callable[[argparse.Namespace], int]
    """Does it, and answers the exit status."""


def parse(commands: Sequence[Command], argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; `run` is what the command does.

    Raises:
        UserError: it is none.
        SystemExit: help was asked for, and has been printed.
    """
    parser = _parser(commands)
    arguments, rest = parser.parse_known_args(argv)
    # argparse takes free words up to the next option only; those after it are still to be handed out.
    unknown = [word for word in rest if word.startswith("-") or not arguments.words]
    if unknown:
        raise UserError(f"no such argument: {unknown[0]} (see swarm-ray {arguments.command} --help)")
    if arguments.words:
        setattr(arguments, arguments.words, [*getattr(arguments, arguments.words), *rest])
    return arguments


def _parser(commands: Sequence[Command]) -> Parser:
    parser = Parser(
        prog="swarm-ray",
        description="Swarms of small language models that learn to reason by sharing rollouts (SAPO).",
        epilog=EPILOG,
    )
    added = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in commands:
        what = f"{command.what[0].upper()}{command.what[1:]}."
        one = added.add_parser(command.name, help=command.what, description=what, epilog=EPILOG)
        command.define(one)
        one.set_defaults(run=command.run)
    return parser
