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
Option = tuple[tuple[str, ...], dict[str, Any]]
"""The names and the settings of an argument, as `add_argument` takes them."""


def option(*names: str, **settings: Any) -> Option:
    """An argument of a command."""
    return names, settings


ROOT = option("--root", metavar="DIR", required=True, help="the folder that holds experiments")
NEW_ROOT = option("--root", metavar="DIR", default="runs", help="where experiments go (default: runs)")
EXPERIMENT = option("experiment", metavar="EXPERIMENT", help="which")
JSON = option("--json", action="store_true", help="print one JSON document and nothing else")
OVERWRITE = option("--overwrite", action="store_true", help="delete an experiment of that name first")
WRITE_OVER = option("--overwrite", action="store_true", help="overwrite existing files")
DASHBOARD = option("--dashboard", action="store_true", help="serve Ray's dashboard on this machine")
MODULES = option(
    "--module",
    metavar="NAME",
    action="append",
    default=[],
    help="a Python module with tasks of your own that the experiment may import (any number)",
)
OVERRIDES = option(
    "overrides",
    metavar="key=value",
    nargs="*",
    default=[],
    help="any key of the configuration, such as grpo.learning_rate=1e-4",
)
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
    """An `ArgumentParser` whose mistakes are errors of one line."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and exiting."""
        raise UserError(f"{message} (see {self.prog} --help)")

    def print_help(self, _file: Any = None) -> None:
        """Print the help as all output is printed: argparse ignores what cannot be written."""
        write(self.format_help())


@dataclass(frozen=True)
class Command:
    """One of the commands."""

    name: str
    what: str
    """What it does, as its help says it."""
    run: Callable[[argparse.Namespace], int] | tuple[Command, ...]
    """Does it, and returns the exit status; or the commands within it, of which it needs one."""
    options: tuple[Option, ...] = ()
    """What it takes; one whose `nargs` is `*` or `+` takes all of its free words."""


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
        allow_abbrev=False,
        description="Swarms of small language models that learn to reason by sharing rollouts (SAPO).",
        epilog=EPILOG,
    )
    _add_commands(parser, "command", commands)
    return parser


def _add_commands(parser: Parser, kind: str, commands: Sequence[Command]) -> None:
    added = parser.add_subparsers(dest=kind, required=True, metavar=kind.upper())
    for command in commands:
        one = added.add_parser(
            command.name,
            help=command.what,
            description=f"{command.what[0].upper()}{command.what[1:]}.",
            epilog=EPILOG,
            allow_abbrev=False,
        )
        define(one, command)


def define(parser: Parser, command: Command) -> None:
    """Give a parser what a command takes."""
    free = [names[0] for names, settings in command.options if settings.get("nargs") in {"*", "+"}]
    parser.set_defaults(run=command.run, words="".join(free))
    for names, settings in command.options:
        parser.add_argument(*names, **settings)
    if isinstance(command.run, tuple):
        _add_commands(parser, "action", command.run)


def flags(*names: str) -> tuple[Option, ...]:
    """Flags for keys that are often set."""
    return tuple(option(f"--{name}", metavar=FLAGS[name][0], help=FLAGS[name][1]) for name in names)


def configuration(*names: str) -> tuple[Option, ...]:
    """`--preset`, `--config`, the flags of these names, and `key=value`."""
    preset = option("--preset", metavar="NAME", help="what the configuration begins with (default: tiny)")
    file = option("--config", metavar="FILE", help="a YAML file to lay over the preset")
    return preset, file, *flags(*names), OVERRIDES


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
