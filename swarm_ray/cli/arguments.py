"""The command line: its parser, the options that several commands have, and the overrides that they amount to."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from swarm_ray.cli.output import write
from swarm_ray.config.load import read_overrides, value_of
from swarm_ray.config.yaml import parse_scalar
from swarm_ray.errors import UserError

EPILOG = (
    "Exit status: 0 done, 1 a node or actor failed, 2 a mistake in the command, 3 nothing was learned, "
    "130 interrupted."
)
ALGORITHM = ("rounds", "local", "external", "completions", "seed", "model")
FLAGS = {
    "nodes": ("N", "nodes to start on this machine"),
    "rounds": ("N", "rounds to run"),
    "local": ("I", "questions that a node answers itself per round"),
    "external": ("J", "rollouts of other nodes that a node learns from per round, at most"),
    "completions": ("G", "completions per question"),
    "trainers": ("auto|N", "trainer processes on this machine"),
    "seed": ("N", "root of all random streams"),
    "model": ("PATH_OR_NAME", "tiny, or a path or Hugging Face name of a causal language model"),
    "expect": ("N", "the first round opens when this many nodes have registered"),
}
"""Flags for keys that are often set, with what they take and mean."""
FLAG_KEYS = {flag: flag for flag in FLAGS} | {"model": "policy.model", "expect": "pace.expect"}
"""Which configuration key each flag sets."""
MOST = 100_000_000
"""Above any count that an option takes."""


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose mistakes are errors of one line, and which takes no abbreviations."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and exiting."""
        raise UserError(f"{message} (see {self.prog} --help)")

    def print_help(self, file: Any = None) -> None:
        """Print the help as all output is printed: argparse ignores what cannot be written."""
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
    """Adds its options; names in the default `words` the argument that takes its free words, if it has any."""
    run: Callable[[argparse.Namespace], int]
    """Does it, and returns the exit status."""


def parse(commands: Sequence[Command], argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; `run` is what the command does.

    Raises:
        UserError: it is not valid.
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
        one.set_defaults(run=command.run, words="")
        command.define(one)
    return parser


def add_root(command: Parser) -> None:
    """`--root`, which says where the experiments are."""
    command.add_argument("--root", metavar="DIR", required=True, help="the folder that holds experiments")


def add_new_root(command: Parser) -> None:
    """`--root` of commands that may make it."""
    command.add_argument("--root", metavar="DIR", default="runs", help="where experiments go (default: runs)")


def add_json(command: Parser) -> None:
    """`--json`."""
    command.add_argument("--json", action="store_true", help="print one JSON document and nothing else")


def add_overwrite(command: Parser) -> None:
    """`--overwrite`."""
    command.add_argument("--overwrite", action="store_true", help="delete an experiment of that name first")


def add_dashboard(command: Parser) -> None:
    """`--dashboard`."""
    command.add_argument("--dashboard", action="store_true", help="serve Ray's dashboard on this machine")


def add_modules(command: Parser) -> None:
    """`--module`, for commands that read an experiment with tasks of its own."""
    command.add_argument(
        "--module",
        metavar="NAME",
        action="append",
        default=[],
        help="a Python module with tasks of your own that the experiment may import (any number)",
    )


def add_configuration(command: Parser, *flags: str) -> None:
    """`--preset`, `--config`, the given flags, and `key=value`."""
    command.add_argument(
        "--preset", metavar="NAME", help="what the configuration begins with (default: tiny)"
    )
    command.add_argument("--config", metavar="FILE", help="a YAML file to lay over the preset")
    add_flags(command, *flags)
    add_overrides(command)


def add_flags(command: Parser, *flags: str) -> None:
    """Flags for keys that are often set."""
    for flag in flags:
        metavar, what = FLAGS[flag]
        command.add_argument(f"--{flag}", metavar=metavar, help=what)


def add_overrides(command: Parser) -> None:
    """`key=value`, as free words."""
    command.add_argument(
        "overrides",
        metavar="key=value",
        nargs="*",
        default=[],
        help="any key of the configuration, such as grpo.learning_rate=1e-4",
    )
    command.set_defaults(words="overrides")


def overrides_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The `key=value` of the command line and the flags that were given, by section and key.

    Args:
        arguments: of a command with overrides.

    Raises:
        UserError: a flag and a `key=value` give one key different values, or one is malformed.
    """
    overrides = read_overrides(arguments.overrides)
    for flag, key in FLAG_KEYS.items():
        given = getattr(arguments, flag, None)
        if given is None:
            continue
        value = given if flag == "model" else parse_scalar(given, f"--{flag}")
        said = value_of(overrides, key, value)
        if said != value:
            raise UserError(f"--{flag} {given} and {key}={said} differ; leave one of them out")
        overrides = read_overrides(overrides, {key: _absolute(given) if flag == "model" else value})
    return overrides


def whole_number(name: str, value: object) -> int:
    """A whole number above 0.

    Args:
        name: of the option or key, as the message has it.
        value: what was given.

    Raises:
        UserError: it is anything else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < MOST:
        raise UserError(f"{name}: {value!r} is not possible; it must be a whole number above 0")
    return value


def import_from_here() -> None:
    """Let `tasks.modules` name files of the working directory, after all that is installed."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def _absolute(name: str) -> str:
    """A folder's name made absolute; other names as they are."""
    try:
        folder = Path(name).expanduser()
        return str(folder.absolute()) if folder.is_dir() else name
    except (OSError, RuntimeError):  # impossible paths and unknown home folders are names
        return name
