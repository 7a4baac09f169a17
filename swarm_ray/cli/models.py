"""The command that gets models out: export-model."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from swarm_ray.cli.options import add_modules, add_root
from swarm_ray.cli.output import DONE, complain, write
from swarm_ray.cli.overrides import see_modules_here
from swarm_ray.cli.parser import Parser
from swarm_ray.errors import UserError
from swarm_ray.formatting import clean

if TYPE_CHECKING:
    from swarm_ray.models.stored import Which


def define_export(command: Parser) -> None:
    """Options of `export-model`."""
    command.add_argument("experiment", metavar="EXPERIMENT", help="which")
    add_root(command)
    command.add_argument("--node", metavar="ID", required=True, help="whose model")
    command.add_argument(
        "--step",
        metavar="N|last|best",
        default="last",
        help="which of its checkpoints in the folder; best: highest mean own reward (default: last)",
    )
    command.add_argument("-o", "--output", metavar="FOLDER", required=True, help="the folder to write")
    command.add_argument("--overwrite", action="store_true", help="replace a model that is there")
    add_modules(command)
    command.set_defaults(words="")


def export_model(arguments: argparse.Namespace) -> int:
    """Write a node's model as a folder that transformers loads."""
    step = _step(arguments.step)
    if arguments.module:
        see_modules_here()
    from swarm_ray.models.export import export

    problems: list[str] = []
    done = export(
        arguments.root,
        arguments.experiment,
        arguments.node,
        arguments.output,
        step,
        overwrite=arguments.overwrite,
        modules=arguments.module,
        problems=problems,
    )
    for problem in problems:
        complain(problem)
    reward = "" if done.reward is None else f", mean own reward {done.reward:.3f} since the checkpoint before"
    write(clean(f"{done.node} at step {done.step}, round {done.round}{reward}: {done.path}") + "\n")
    return DONE


def _step(text: str) -> Which:
    if text == "last":
        return "last"
    if text == "best":
        return "best"
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return int(text)
    raise UserError(f"--step {text!r} is not possible; it must be a step (a whole number), last or best")
