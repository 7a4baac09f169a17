"""Commands that read and ask: status, list, compare, config; stop, pause, resume."""

from __future__ import annotations

import argparse

from swarm_ray.cli.options import add_configuration, add_json, add_root
from swarm_ray.cli.output import DONE, complain_of, json_text, layout, write
from swarm_ray.cli.overrides import overrides_of
from swarm_ray.cli.parser import Parser
from swarm_ray.config.load import load_config, render_yaml
from swarm_ray.experiments import compare_experiments, list_experiments
from swarm_ray.experiments.read.listing import experiment_reading
from swarm_ray.observe.diagnosis import swarm_alarm
from swarm_ray.observe.tables import comparison_table, list_table, status_table


def define_status(command: Parser) -> None:
    """Options of `status`."""
    add_root(command)
    command.add_argument("--experiment", metavar="NAME", help="which (default: the one that is under way)")
    add_json(command)
    command.set_defaults(words="")


def status(arguments: argparse.Namespace) -> int:
    """Say where an experiment stands."""
    reading = experiment_reading(arguments.root, arguments.experiment)
    status, (width, styled) = reading.status(), layout()
    table = status_table(status, width=width, styled=styled, alarm=swarm_alarm(reading.record))
    write(json_text(status) if arguments.json else table)
    return DONE


def define_control(command: Parser) -> None:
    """Options of `stop`, `pause` and `resume`."""
    add_root(command)
    command.add_argument("--experiment", metavar="NAME", required=True, help="which")
    command.set_defaults(words="")


def control(arguments: argparse.Namespace) -> int:
    """Ask a coordinator, and say what it answers."""
    from swarm_ray.experiments.control import ask_coordinator

    write(f"{ask_coordinator(arguments.root, arguments.experiment, arguments.command)}\n")
    return DONE


def define_list(command: Parser) -> None:
    """Options of `list`."""
    add_root(command)
    add_json(command)
    command.set_defaults(words="")


def list_(arguments: argparse.Namespace) -> int:
    """List the experiments in a folder."""
    summaries = list_experiments(arguments.root)
    width, styled = layout()
    write(json_text(summaries) if arguments.json else list_table(summaries, width=width, styled=styled))
    return DONE


def define_compare(command: Parser) -> None:
    """Options of `compare`."""
    add_root(command)
    command.add_argument("names", metavar="EXPERIMENT", nargs="+", help="which, in the order of the table")
    add_json(command)
    command.set_defaults(words="names")


def compare(arguments: argparse.Namespace) -> int:
    """Compare experiments."""
    problems: list[str] = []
    comparisons = compare_experiments(arguments.root, arguments.names, problems)
    width, styled = layout()
    write(
        json_text(comparisons)
        if arguments.json
        else comparison_table(comparisons, width=width, styled=styled)
    )
    complain_of(problems)
    return DONE


def define_config(command: Parser) -> None:
    """Options of `config`."""
    add_configuration(command)


def config(arguments: argparse.Namespace) -> int:
    """Print a whole configuration."""
    write(render_yaml(load_config(arguments.preset, arguments.config, overrides_of(arguments))))
    return DONE
