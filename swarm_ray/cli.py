"""The command `swarm-ray`: what is asked, done, said, and answered as an exit status.

Neither torch nor Ray is imported for the commands that only read; see `cli_parser` for what can be asked.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from drive_store import EXPERIMENTS, InvalidName, NotAFile, StoreDenied, StoreError, UnsupportedStore
from swarm_ray.cli_output import complain, layout, write
from swarm_ray.cli_overrides import overrides_of, value_of
from swarm_ray.cli_parser import parse
from swarm_ray.config import SwarmConfig
from swarm_ray.errors import SwarmError, UserError
from swarm_ray.experiments import (
    compare_experiments,
    experiment_metrics,
    experiment_status,
    list_experiments,
    time_breakdown,
)
from swarm_ray.known_spread import spread_text
from swarm_ray.opening import config_for
from swarm_ray.settings import load_config, render_yaml
from swarm_ray.tables import comparison_table, list_table, status_table, time_text

if TYPE_CHECKING:
    from swarm_ray.running import Running

DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130
_MISTAKES = (UserError, StoreDenied, InvalidName, NotAFile, UnsupportedStore)
"""What the user can mend by another command line: the folder that was named among them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: its arguments; None takes those of the process.

    Returns:
        The exit status: 0 done, 1 a node or actor failed, 2 a mistake of the user, 3 nothing was learned, 130
        interrupted. A status other than 0 comes with one line on standard error, and no traceback.
    """
    try:
        arguments = parse(argv)
        # A VM that is taken sends SIGTERM: end as cleanly as on Ctrl-C.
        signal.signal(signal.SIGTERM, _interrupt)
        return _COMMANDS[arguments.command](arguments)
    except SystemExit as asked:  # argparse has printed the help that was asked for
        return int(asked.code or 0)
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except _MISTAKES as error:
        complain(str(error))
        return MISTAKE
    except (SwarmError, StoreError) as error:
        complain(str(error))
        return FAILED


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _simulate(arguments: argparse.Namespace) -> int:
    config = _config_to_run(arguments)
    from swarm_ray.swarm import simulate

    run = simulate(
        config,
        arguments.root,
        arguments.experiment,
        baseline=arguments.baseline,
        overwrite=arguments.overwrite,
        show=True,
    )
    try:
        _report(run, config)
    except (SwarmError, StoreError) as error:  # how the run ended is still to be told
        complain(f"the report is not complete: {error}")
        return _ended(run) or FAILED
    return _ended(run)


def _coordinate(arguments: argparse.Namespace) -> int:
    config = _config_to_run(arguments)
    from swarm_ray.swarm import coordinate

    return _ended(
        coordinate(config, arguments.root, arguments.experiment, overwrite=arguments.overwrite, show=True)
    )


def _work(arguments: argparse.Namespace) -> int:
    overrides = overrides_of(arguments)
    nodes = value_of(overrides, "nodes") or "1"
    if not (nodes.isascii() and nodes.isdigit() and int(nodes) > 0):
        raise UserError(f"nodes: {nodes!r} is not possible; it must be a whole number above 0")
    from swarm_ray.swarm import work

    return _ended(
        work(arguments.root, arguments.experiment, arguments.node, int(nodes), overrides, show=True)
    )


def _status(arguments: argparse.Namespace) -> int:
    status = experiment_status(arguments.root, arguments.experiment)
    width, styled = layout()
    write(_json(status) if arguments.json else status_table(status, width=width, styled=styled))
    return DONE


def _control(arguments: argparse.Namespace) -> int:
    from swarm_ray.control import ask_coordinator

    write(f"{ask_coordinator(arguments.root, arguments.experiment, arguments.command)}\n")
    return DONE


def _list(arguments: argparse.Namespace) -> int:
    width, styled = layout()
    write(list_table(list_experiments(arguments.root), width=width, styled=styled))
    return DONE


def _compare(arguments: argparse.Namespace) -> int:
    comparisons = compare_experiments(arguments.root, arguments.names)
    width, styled = layout()
    write(_json(comparisons) if arguments.json else comparison_table(comparisons, width=width, styled=styled))
    return DONE


def _config(arguments: argparse.Namespace) -> int:
    write(render_yaml(_config_of(arguments)))
    return DONE


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "simulate": _simulate,
    "coordinate": _coordinate,
    "work": _work,
    "status": _status,
    "list": _list,
    "stop": _control,
    "pause": _control,
    "resume": _control,
    "compare": _compare,
    "config": _config,
}


def _config_of(arguments: argparse.Namespace) -> SwarmConfig:
    return load_config(arguments.preset, arguments.config, overrides_of(arguments))


def _config_to_run(arguments: argparse.Namespace) -> SwarmConfig:
    """The configuration of a new experiment, or of one that goes on."""
    return config_for(
        arguments.root,
        arguments.experiment,
        arguments.preset,
        arguments.config,
        overrides_of(arguments),
        overwrite=arguments.overwrite,
    )


def _report(run: Running, config: SwarmConfig) -> None:
    """What a run has done: its figures, its time, its picture, and how much a seed may change."""
    from swarm_ray.report import reward_figure

    width, styled = layout()
    swarm, results = run.experiments[0], run.results()
    if not any(result.rounds for result in results):
        return
    write("\n" + comparison_table(results, width=width, styled=styled) + "\n")
    problems: list[str] = []
    rows = experiment_metrics(run.root, swarm, problems)
    write(time_text(time_breakdown(rows), width=width))
    for problem in problems:
        complain(problem)
    path = Path(run.root, EXPERIMENTS, swarm, "reward.png")
    write(f"picture: {reward_figure(run.root, run.experiments, path)}\n")
    write(f"{spread_text(config)}\n")


def _ended(run: Running) -> int:
    """Say how a run ended: on standard output when it is done, else on standard error."""
    if run.exit_code == DONE:
        write(f"{run.message}\n")
    else:
        complain(run.message)
    return run.exit_code


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"


if __name__ == "__main__":
    sys.exit(main())
