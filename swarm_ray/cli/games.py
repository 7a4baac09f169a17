"""The command that plays games of GenRL's."""

from __future__ import annotations

import argparse

from swarm_ray.cli.options import add_flags, add_overrides, add_overwrite
from swarm_ray.cli.overrides import overrides_of, value_of
from swarm_ray.cli.parser import Parser
from swarm_ray.cli.running import add_dashboard, ended_with_report
from swarm_ray.errors import UserError

COORDINATION = ("here", "elsewhere", "none")


def define_genrl(command: Parser) -> None:
    """Options of `genrl`."""
    command.add_argument(
        "--recipe",
        metavar="FILE",
        required=True,
        help="what is played: a YAML file, or rgym or multistage_math, which come with Swarm Ray",
    )
    command.add_argument("--root", metavar="DIR", default="runs", help="where experiments go (default: runs)")
    command.add_argument("--experiment", metavar="NAME", help="its name (default: the recipe's)")
    command.add_argument(
        "--node",
        metavar="ID",
        help="id of this machine's node, unique in the swarm; of several, its beginning",
    )
    command.add_argument(
        "--coordinator",
        choices=COORDINATION,
        default="here",
        help="who closes the stages: this machine, another one, or nobody but a deadline (default: here)",
    )
    add_dashboard(command)
    add_overwrite(command)
    add_flags(command, "nodes", "rounds", "local", "external", "completions", "seed", "model", "expect")
    add_overrides(command)


def genrl(arguments: argparse.Namespace) -> int:
    """Play a game here, and report."""
    from swarm_ray.genrl.extra import require_genrl
    from swarm_ray.genrl.recipe import read_recipe

    require_genrl()
    recipe = read_recipe(arguments.recipe)
    overrides = overrides_of(arguments)
    nodes = value_of(overrides, "nodes")
    if nodes is None:
        nodes = "1" if arguments.node is not None else str(recipe.config().nodes)
    if not (nodes.isascii() and nodes.isdigit() and int(nodes) > 0):
        raise UserError(f"nodes: {nodes!r} is not possible; it must be a whole number above 0")
    from swarm_ray.games import run_game

    run = run_game(
        recipe,
        arguments.root,
        arguments.experiment or recipe.name,
        nodes=int(nodes),
        coordinator=arguments.coordinator,
        node=arguments.node,
        overrides=[o for o in overrides if o.partition("=")[0].strip() != "nodes"],
        overwrite=arguments.overwrite,
        dashboard=arguments.dashboard,
    )
    return ended_with_report(run)
