"""Commands that train: simulate, coordinate, work, genrl."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from drive_store import EXPERIMENTS, StoreError
from swarm_ray.cli.arguments import (
    ALGORITHM,
    Parser,
    add_configuration,
    add_dashboard,
    add_flags,
    add_new_root,
    add_overrides,
    add_overwrite,
    add_root,
    import_from_here,
    overrides_of,
    whole_number,
)
from swarm_ray.cli.output import DONE, FAILED, complain, complain_of, layout, write
from swarm_ray.config.load import named_modules
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import SwarmError
from swarm_ray.experiments import experiment_metrics, time_breakdown
from swarm_ray.experiments.open import config_for
from swarm_ray.observe.reference_results import seed_results_text
from swarm_ray.observe.tables import comparison_table, time_text

if TYPE_CHECKING:
    from swarm_ray.runtime.handle import Running

COORDINATION = ("here", "elsewhere", "none")


def define_simulate(command: Parser) -> None:
    """Options of `simulate`."""
    add_new_root(command)
    command.add_argument("--experiment", metavar="NAME", help="its name (default: the preset and the time)")
    command.add_argument("--baseline", action="store_true", help="also run it without sharing, side by side")
    add_dashboard(command)
    add_overwrite(command)
    add_configuration(command, "nodes", "trainers", *ALGORITHM)


def simulate(arguments: argparse.Namespace) -> int:
    """Run a whole swarm here, and report."""
    config = _config_to_run(arguments)
    from swarm_ray.swarm import simulate

    run = simulate(
        config,
        arguments.root,
        arguments.experiment,
        baseline=arguments.baseline,
        overwrite=arguments.overwrite,
        show=True,
        dashboard=arguments.dashboard,
    )
    return report_and_end(run, seed_results_text(config))


def define_coordinate(command: Parser) -> None:
    """Options of `coordinate`."""
    add_root(command)
    command.add_argument("--experiment", metavar="NAME", required=True, help="the name it will have")
    add_dashboard(command)
    add_overwrite(command)
    add_configuration(command, "expect", *ALGORITHM)


def coordinate(arguments: argparse.Namespace) -> int:
    """Coordinate an experiment."""
    config = _config_to_run(arguments)
    from swarm_ray.swarm import coordinate

    return end(
        coordinate(
            config,
            arguments.root,
            arguments.experiment,
            overwrite=arguments.overwrite,
            show=True,
            dashboard=arguments.dashboard,
        )
    )


def define_work(command: Parser) -> None:
    """Options of `work`."""
    add_root(command)
    command.add_argument("--experiment", metavar="NAME", required=True, help="the experiment to join")
    command.add_argument("--node", metavar="ID", required=True, help="the node's id, unique in the swarm")
    add_dashboard(command)
    add_flags(command, "nodes", "trainers")
    add_overrides(command)


def work(arguments: argparse.Namespace) -> int:
    """Train nodes of another machine's experiment."""
    overrides = overrides_of(arguments)
    if named_modules(overrides):
        import_from_here()
    nodes = whole_number("nodes", overrides.pop("nodes", 1))
    from swarm_ray.swarm import work

    return end(
        work(
            arguments.root,
            arguments.experiment,
            arguments.node,
            nodes,
            overrides,
            show=True,
            dashboard=arguments.dashboard,
        )
    )


def define_genrl(command: Parser) -> None:
    """Options of `genrl`."""
    command.add_argument(
        "--recipe",
        metavar="FILE",
        required=True,
        help="the game: a YAML file, or rgym or multistage_math, which come with Swarm Ray",
    )
    add_new_root(command)
    command.add_argument("--experiment", metavar="NAME", help="its name (default: the recipe's)")
    command.add_argument(
        "--node",
        metavar="ID",
        help="id of this machine's node, unique in the swarm; the prefix, where there are several",
    )
    command.add_argument(
        "--coordinator",
        choices=COORDINATION,
        default="here",
        help="who closes the stages: this machine, another one, or no machine, only a deadline (default: here)",
    )
    add_dashboard(command)
    add_overwrite(command)
    add_flags(command, "nodes", "rounds", "local", "external", "completions", "seed", "model", "expect")
    add_overrides(command)


def genrl(arguments: argparse.Namespace) -> int:
    """Play a game here, and report."""
    from swarm_ray.genrl import require_genrl
    from swarm_ray.genrl.recipe import read_recipe

    require_genrl()
    recipe = read_recipe(arguments.recipe)
    overrides = overrides_of(arguments)
    nodes = overrides.pop("nodes", None)
    if nodes is None:
        nodes = 1 if arguments.node is not None else recipe.config().nodes
    from swarm_ray.games import run_game

    run = run_game(
        recipe,
        arguments.root,
        arguments.experiment or recipe.name,
        nodes=whole_number("nodes", nodes),
        coordinator=arguments.coordinator,
        node=arguments.node,
        overrides=overrides,
        overwrite=arguments.overwrite,
        dashboard=arguments.dashboard,
    )
    return report_and_end(run)


def _config_to_run(arguments: argparse.Namespace) -> SwarmConfig:
    """The configuration of a new experiment, or of one that is resumed."""
    config = config_for(
        arguments.root,
        arguments.experiment,
        arguments.preset,
        arguments.config,
        overrides_of(arguments),
        overwrite=arguments.overwrite,
    )
    if config.tasks.modules:
        import_from_here()
    return config


def report_and_end(run: Running, remark: str = "") -> int:
    """Print what a run has done, with a remark below it, and how it ended; returns the exit status."""
    try:
        if _report(run) and remark:
            write(f"{remark}\n")
    except (SwarmError, StoreError) as error:  # how the run ended is still printed
        complain(f"the report is not complete: {error}")
        return end(run) or FAILED
    return end(run)


def _report(run: Running) -> bool:
    """Print a run's figures, its time and its picture; False if no round has closed."""
    from swarm_ray.observe.report import reward_figure

    width, styled = layout()
    problems: list[str] = []
    swarm, results = run.experiments[0], run.results(problems)
    if not any(result.rounds for result in results):
        return False
    write("\n" + comparison_table(results, width=width, styled=styled) + "\n")
    rows = experiment_metrics(run.root, swarm, problems)
    write(time_text(time_breakdown(rows), width=width))
    path = Path(run.root, EXPERIMENTS, swarm, "reward.png")
    write(f"picture: {reward_figure(run.root, run.experiments, path, problems=problems)}\n")
    complain_of(list(dict.fromkeys(problems)))
    return True


def end(run: Running) -> int:
    """Say how a run ended: on standard output when it is done, else on standard error."""
    if run.exit_code == DONE:
        write(f"{run.message}\n")
    else:
        complain(run.message)
    return run.exit_code
