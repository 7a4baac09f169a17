"""The table of all subcommands, and what a mistake or a failure becomes: one line and an exit status."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import NoReturn

from drive_store import InvalidName, NotAFile, StoreDenied, StoreError, UnsupportedStore
from swarm_ray.cli import doctor, identity, manage, metrics, report, run, status, sweep
from swarm_ray.cli.arguments import Command, parse
from swarm_ray.cli.output import FAILED, INTERRUPTED, MISTAKE, complain
from swarm_ray.errors import SwarmError, UserError

_MISTAKES = (UserError, StoreDenied, InvalidName, NotAFile, UnsupportedStore)
"""What another command line mends, such as another folder."""

COMMANDS = (
    Command("simulate", "run or resume a whole swarm on this machine", run.define_simulate, run.simulate),
    Command(
        "coordinate",
        "create or resume an experiment and coordinate it; other machines train",
        run.define_coordinate,
        run.coordinate,
    ),
    Command(
        "work", "train nodes of an experiment that another machine coordinates", run.define_work, run.work
    ),
    Command("genrl", "play or resume a GenRL game on this machine", run.define_genrl, run.genrl),
    Command("status", "show where an experiment stands", status.define_status, status.status),
    Command(
        "stop",
        "ask an experiment's coordinator, wherever it is, to end it",
        status.define_control,
        status.control,
    ),
    Command(
        "pause",
        "ask an experiment's coordinator to open no further round",
        status.define_control,
        status.control,
    ),
    Command(
        "resume",
        "ask an experiment's coordinator to continue after a pause",
        status.define_control,
        status.control,
    ),
    Command(
        "peers",
        "list the nodes that can be found in a folder, and how each can be reached",
        status.define_peers,
        status.peers,
    ),
    Command("watch", "show a swarm's live progress, wherever it runs", status.define_watch, status.watch_),
    Command("list", "list the experiments in a folder", status.define_list, status.list_),
    Command("compare", "compare experiments", status.define_compare, status.compare),
    Command("create", "create an experiment to run later", manage.define_create, manage.create),
    Command(
        "metrics",
        "show what an experiment's nodes logged, by round, node or specialty",
        metrics.define_metrics,
        metrics.metrics,
    ),
    Command(
        "export",
        "write a summary, tables, and all rollouts as a data set",
        manage.define_export,
        manage.export,
    ),
    Command("archive", "write an experiment into one verified file", manage.define_archive, manage.archive),
    Command(
        "clean",
        "remove what an experiment does not need, or all of it; without --yes only list it",
        manage.define_clean,
        manage.clean_,
    ),
    Command("rename", "rename an experiment that is not running", manage.define_rename, manage.rename),
    Command(
        "report",
        "write a page about experiments: verdict, curves, tables, incidents, sample rollouts",
        report.define_report,
        report.report,
    ),
    Command(
        "doctor",
        "check whether a swarm can run over a folder, from one machine or two",
        doctor.define_doctor,
        doctor.doctor,
    ),
    Command(
        "sweep",
        "run or resume a grid of settings under several seeds, and report on all runs",
        sweep.define_sweep,
        sweep.sweep,
    ),
    Command(
        "export-model",
        "write a node's model as a folder that transformers loads",
        manage.define_export_model,
        manage.export_model,
    ),
    Command(
        "identity",
        "make a node's key, show its peer id and animal name, or import one of RL Swarm",
        identity.define_identity,
        identity.identity,
    ),
    Command(
        "config",
        "print a whole configuration, with the meaning of every key",
        status.define_config,
        status.config,
    ),
)
"""Every subcommand. A new one is a `define_...` and a function in a module of this package, and a line here."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: its arguments; None takes those of the process.

    Returns:
        The exit status: 0 done, 1 a node or actor failed, 2 a mistake in the command, 3 nothing was learned, 130
        interrupted. A status other than 0 comes with one line on standard error, and no traceback.
    """
    try:
        arguments = parse(COMMANDS, argv)
        # A VM that is taken sends SIGTERM: end as cleanly as on Ctrl-C.
        signal.signal(signal.SIGTERM, _interrupt)
        return int(arguments.run(arguments))
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
