"""What can be written on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from swarm_ray.errors import UserError

EPILOG = (
    "Exit status: 0 done, 1 a node or actor failed, 2 a mistake in the command, 3 nothing was learned, "
    "130 interrupted."
)
_ALGORITHM = ("rounds", "local", "external", "completions", "seed", "model")
_FLAGS = {
    "nodes": ("N", "nodes to start on this machine"),
    "rounds": ("N", "rounds to run"),
    "local": ("I", "questions that a node answers itself per round"),
    "external": ("J", "rollouts of other nodes that a node learns from per round, at most"),
    "completions": ("G", "completions per question"),
    "trainers": ("auto|N", "trainer processes on this machine"),
    "seed": ("N", "root of all random streams"),
    "model": ("PATH_OR_NAME", "tiny, or a path or Hugging Face name of a causal language model"),
    "expect": ("N", "the first round opens when so many nodes have registered"),
}


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose mistakes are errors of one line, and which takes no abbreviations."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving."""
        raise UserError(f"{message} (see {self.prog} --help)")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; `command` says which command it is.

    Raises:
        UserError: it is none.
        SystemExit: help was asked for, and has been printed.
    """
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    # argparse takes free words up to the next option only; those after it are still to be handed out.
    unknown = [word for word in rest if word.startswith("-") or not arguments.words]
    if unknown:
        raise UserError(f"no such argument: {unknown[0]} (see swarm-ray {arguments.command} --help)")
    if arguments.words:
        setattr(arguments, arguments.words, [*getattr(arguments, arguments.words), *rest])
    return arguments


def _parser() -> Parser:
    """The parser; each command says in `words` where its free words go, "" where it takes none."""
    parser = Parser(
        prog="swarm-ray",
        description="Swarms of small language models that learn to reason by sharing rollouts (SAPO).",
        epilog=EPILOG,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what, define in (
        ("simulate", "run a whole swarm on this machine, or go on with one", _simulate),
        (
            "coordinate",
            "create an experiment, or go on with one, and coordinate it; others train",
            _coordinate,
        ),
        ("work", "train nodes of an experiment that another machine coordinates", _work),
        ("status", "say where an experiment stands", _status),
        ("stop", "ask an experiment's coordinator, wherever it is, to end it", _control),
        ("pause", "ask an experiment's coordinator to open no further round", _control),
        ("resume", "ask an experiment's coordinator to go on after a pause", _control),
        ("list", "list the experiments in a folder", _list),
        ("compare", "compare experiments", _compare),
        ("config", "print a whole configuration, with the meaning of every key", _config),
    ):
        define(
            commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.", epilog=EPILOG)
        )
    return parser


def _simulate(command: Parser) -> None:
    command.add_argument("--root", metavar="DIR", default="runs", help="where experiments go (default: runs)")
    command.add_argument("--experiment", metavar="NAME", help="its name (default: the preset and the time)")
    command.add_argument("--baseline", action="store_true", help="also run it without sharing, side by side")
    _add_overwrite(command)
    _add_configuration(command, "nodes", "trainers", *_ALGORITHM)


def _coordinate(command: Parser) -> None:
    _add_root(command)
    command.add_argument("--experiment", metavar="NAME", required=True, help="the name it will have")
    _add_overwrite(command)
    _add_configuration(command, "expect", *_ALGORITHM)


def _work(command: Parser) -> None:
    _add_root(command)
    command.add_argument("--experiment", metavar="NAME", required=True, help="the experiment to join")
    command.add_argument("--node", metavar="ID", required=True, help="the node's id, unique in the swarm")
    _add_flags(command, "nodes", "trainers")
    _add_overrides(command)


def _status(command: Parser) -> None:
    _add_root(command)
    command.add_argument("--experiment", metavar="NAME", help="which (default: the one that is under way)")
    _add_json(command)
    command.set_defaults(words="")


def _control(command: Parser) -> None:
    _add_root(command)
    command.add_argument("--experiment", metavar="NAME", required=True, help="which")
    command.set_defaults(words="")


def _list(command: Parser) -> None:
    _add_root(command)
    command.set_defaults(words="")


def _compare(command: Parser) -> None:
    _add_root(command)
    command.add_argument("names", metavar="EXPERIMENT", nargs="+", help="which, in the order of the table")
    _add_json(command)
    command.set_defaults(words="names")


def _config(command: Parser) -> None:
    _add_configuration(command)


def _add_root(command: Parser) -> None:
    command.add_argument("--root", metavar="DIR", required=True, help="the folder that holds experiments")


def _add_json(command: Parser) -> None:
    command.add_argument("--json", action="store_true", help="print one JSON document and nothing else")


def _add_overwrite(command: Parser) -> None:
    command.add_argument("--overwrite", action="store_true", help="delete an experiment of that name first")


def _add_configuration(command: Parser, *flags: str) -> None:
    command.add_argument(
        "--preset", metavar="NAME", help="what the configuration begins with (default: tiny)"
    )
    command.add_argument("--config", metavar="FILE", help="a YAML file to lay over the preset")
    _add_flags(command, *flags)
    _add_overrides(command)


def _add_flags(command: Parser, *flags: str) -> None:
    for flag in flags:
        metavar, what = _FLAGS[flag]
        command.add_argument(f"--{flag}", metavar=metavar, help=what)


def _add_overrides(command: Parser) -> None:
    command.add_argument(
        "overrides",
        metavar="key=value",
        nargs="*",
        help="any key of the configuration, such as grpo.learning_rate=1e-4",
    )
    command.set_defaults(words="overrides")
