"""The command that gets models out: export-model."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import yaml

from swarm_ray.cli.options import add_root
from swarm_ray.cli.output import DONE, complain, write
from swarm_ray.cli.overrides import see_modules_here
from swarm_ray.cli.parser import Parser
from swarm_ray.errors import UserError
from swarm_ray.table_text import clean

if TYPE_CHECKING:
    from swarm_ray.models.stored import Which

_MODULES = "tasks.modules="


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
    command.add_argument(
        "modules",
        metavar="tasks.modules=[...]",
        nargs="*",
        help="modules with tasks of the experiment's own, if you trust them",
    )
    command.set_defaults(words="modules")


def export_model(arguments: argparse.Namespace) -> int:
    """Write a node's model as a folder that transformers loads."""
    step, modules = _step(arguments.step), _modules(arguments.modules)
    if modules:
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
        modules=modules,
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


def _modules(words: list[str]) -> list[str]:
    found: list[str] = []
    for word in words:
        value = _parsed(word.removeprefix(_MODULES)) if word.startswith(_MODULES) else None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise UserError(
                f"no such argument: {word} (only tasks.modules=[...] may follow; see swarm-ray export-model --help)"
            )
        found += value
    return found


def _parsed(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None
