"""Commands that train: simulate, coordinate, work."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from drive_store import EXPERIMENTS, StoreError
from swarm_ray.cli.options import (
    ALGORITHM,
    add_configuration,
    add_flags,
    add_overrides,
    add_overwrite,
    add_root,
)
from swarm_ray.cli.output import DONE, FAILED, complain, complain_of, layout, write
from swarm_ray.cli.overrides import overrides_of, see_modules_here, value_of
from swarm_ray.cli.parser import Parser
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import SwarmError, UserError
from swarm_ray.experiments import experiment_metrics, time_breakdown
from swarm_ray.experiments.open import config_for
from swarm_ray.observe.reference_results import spread_text
from swarm_ray.observe.tables import comparison_table, time_text

if TYPE_CHECKING:
    from swarm_ray.runtime.handle import Running


def define_simulate(command: Parser) -> None:
    """Options of `simulate`."""
    command.add_argument("--root", metavar="DIR", default="runs", help="where experiments go (default: runs)")
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
    return ended_with_report(run, spread_text(config))


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

    return ended(
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
    if value_of(overrides, "tasks.modules"):
        see_modules_here()
    nodes = value_of(overrides, "nodes") or "1"
    if not (nodes.isascii() and nodes.isdigit() and int(nodes) > 0):
        raise UserError(f"nodes: {nodes!r} is not possible; it must be a whole number above 0")
    from swarm_ray.swarm import work

    return ended(
        work(
            arguments.root,
            arguments.experiment,
            arguments.node,
            int(nodes),
            overrides,
            show=True,
            dashboard=arguments.dashboard,
        )
    )


def add_dashboard(command: Parser) -> None:
    """`--dashboard`."""
    command.add_argument("--dashboard", action="store_true", help="serve Ray's dashboard on this machine")


def _config_to_run(arguments: argparse.Namespace) -> SwarmConfig:
    """The configuration of a new experiment, or of one that goes on."""
    config = config_for(
        arguments.root,
        arguments.experiment,
        arguments.preset,
        arguments.config,
        overrides_of(arguments),
        overwrite=arguments.overwrite,
    )
    if config.tasks.modules:
        see_modules_here()
    return config


def ended_with_report(run: Running, remark: str = "") -> int:
    """Say what a run has done, with a remark below it, and how it ended; answers the exit status."""
    try:
        if _report(run) and remark:
            write(f"{remark}\n")
    except (SwarmError, StoreError) as error:  # how the run ended is still to be told
        complain(f"the report is not complete: {error}")
        return ended(run) or FAILED
    return ended(run)


def _report(run: Running) -> bool:
    """What a run has done: its figures, its time and its picture; False where it has done nothing."""
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


def ended(run: Running) -> int:
    """Say how a run ended: on standard output when it is done, else on standard error."""
    if run.exit_code == DONE:
        write(f"{run.message}\n")
    else:
        complain(run.message)
    return run.exit_code
