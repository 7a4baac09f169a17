"""Commands that run a swarm: simulate, coordinate, work, genrl; and stop, pause, resume, which ask its coordinator."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from drive_store import EXPERIMENTS, StoreError
from swarm_ray.cli.arguments import (
    ALGORITHM,
    DASHBOARD,
    NEW_ROOT,
    OVERRIDES,
    OVERWRITE,
    ROOT,
    Command,
    configuration,
    flags,
    import_from_here,
    option,
    overrides_of,
    whole_number,
)
from swarm_ray.cli.output import DONE, FAILED, complain, complain_of, layout, write
from swarm_ray.config.load import named_modules
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import SwarmError
from swarm_ray.experiments import experiment_metrics, time_breakdown
from swarm_ray.experiments.folder import sizes_of
from swarm_ray.experiments.open import config_for
from swarm_ray.observe.reference_results import seed_results_text
from swarm_ray.observe.status_tables import comparison_table, time_text

if TYPE_CHECKING:
    from swarm_ray.runtime.handle import Running


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
    seeds = seed_results_text(config.preset, config.policy, config.nodes, sizes_of(config))
    return report_and_end(run, seeds)


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


def control(arguments: argparse.Namespace) -> int:
    """Ask a coordinator to stop, pause or resume, and print its answer."""
    from swarm_ray.experiments.control import ask_coordinator

    write(f"{ask_coordinator(arguments.root, arguments.experiment, arguments.command)}\n")
    return DONE


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


_ASKED = (ROOT, option("--experiment", metavar="NAME", required=True, help="which"))
COMMANDS = (
    Command(
        "simulate",
        "run or resume a whole swarm on this machine",
        simulate,
        (
            NEW_ROOT,
            option("--experiment", metavar="NAME", help="its name (default: the preset and the time)"),
            option("--baseline", action="store_true", help="also run it without sharing, side by side"),
            DASHBOARD,
            OVERWRITE,
            *configuration("nodes", "trainers", *ALGORITHM),
        ),
    ),
    Command(
        "coordinate",
        "create or resume an experiment and coordinate it; other machines train",
        coordinate,
        (
            ROOT,
            option("--experiment", metavar="NAME", required=True, help="the name it will have"),
            DASHBOARD,
            OVERWRITE,
            *configuration("expect", *ALGORITHM),
        ),
    ),
    Command(
        "work",
        "train nodes of an experiment that another machine coordinates",
        work,
        (
            ROOT,
            option("--experiment", metavar="NAME", required=True, help="the experiment to join"),
            option("--node", metavar="ID", required=True, help="the node's id, unique in the swarm"),
            DASHBOARD,
            *flags("nodes", "trainers"),
            OVERRIDES,
        ),
    ),
    Command(
        "genrl",
        "play or resume a GenRL game on this machine",
        genrl,
        (
            option(
                "--recipe",
                metavar="FILE",
                required=True,
                help="the game: a YAML file, or rgym or multistage_math, which come with Swarm Ray",
            ),
            NEW_ROOT,
            option("--experiment", metavar="NAME", help="its name (default: the recipe's)"),
            option(
                "--node",
                metavar="ID",
                help="id of this machine's node, unique in the swarm; the prefix, where there are several",
            ),
            option(
                "--coordinator",
                choices=("here", "elsewhere", "none"),
                default="here",
                help="who closes the stages: this machine, another one, or no machine, only a deadline (default: here)",
            ),
            DASHBOARD,
            OVERWRITE,
            *flags("nodes", "rounds", "local", "external", "completions", "seed", "model", "expect"),
            OVERRIDES,
        ),
    ),
    Command("stop", "ask an experiment's coordinator, wherever it is, to end it", control, _ASKED),
    Command("pause", "ask an experiment's coordinator to open no further round", control, _ASKED),
    Command("resume", "ask an experiment's coordinator to continue after a pause", control, _ASKED),
)
