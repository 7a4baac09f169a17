"""Options that several commands have."""

from __future__ import annotations

from swarm_ray.cli.parser import Parser

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
    "expect": ("N", "the first round opens when so many nodes have registered"),
}


def add_root(command: Parser) -> None:
    """`--root`, without which nothing is found."""
    command.add_argument("--root", metavar="DIR", required=True, help="the folder that holds experiments")


def add_json(command: Parser) -> None:
    """`--json`."""
    command.add_argument("--json", action="store_true", help="print one JSON document and nothing else")


def add_overwrite(command: Parser) -> None:
    """`--overwrite`."""
    command.add_argument("--overwrite", action="store_true", help="delete an experiment of that name first")


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
