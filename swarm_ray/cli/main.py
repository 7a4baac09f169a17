"""All commands, and what a mistake or a failure becomes: one line and an exit status, no traceback."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import NoReturn

from drive_store import InvalidName, NotAFile, StoreDenied, StoreError, UnsupportedStore
from swarm_ray.cli import (
    checking,
    experiments,
    finding,
    games,
    identity,
    models,
    reading,
    reporting,
    running,
    sweeping,
    watching,
)
from swarm_ray.cli.output import FAILED, INTERRUPTED, MISTAKE, complain
from swarm_ray.cli.parser import Command, parse
from swarm_ray.errors import SwarmError, UserError

_MISTAKES = (UserError, StoreDenied, InvalidName, NotAFile, UnsupportedStore)
"""What the user can mend by another command line: the folder that was named among them."""

COMMANDS = (
    Command(
        "simulate",
        "run a whole swarm on this machine, or go on with one",
        running.define_simulate,
        running.simulate,
    ),
    Command(
        "coordinate",
        "create an experiment, or go on with one, and coordinate it; others train",
        running.define_coordinate,
        running.coordinate,
    ),
    Command(
        "work",
        "train nodes of an experiment that another machine coordinates",
        running.define_work,
        running.work,
    ),
    Command(
        "genrl", "play a game of GenRL's on this machine, or go on with one", games.define_genrl, games.genrl
    ),
    Command("status", "say where an experiment stands", reading.define_status, reading.status),
    Command(
        "stop",
        "ask an experiment's coordinator, wherever it is, to end it",
        reading.define_control,
        reading.control,
    ),
    Command(
        "pause",
        "ask an experiment's coordinator to open no further round",
        reading.define_control,
        reading.control,
    ),
    Command(
        "resume",
        "ask an experiment's coordinator to go on after a pause",
        reading.define_control,
        reading.control,
    ),
    Command(
        "peers",
        "say who is to be found in a folder, and from where each can be reached",
        finding.define_peers,
        finding.peers,
    ),
    Command("watch", "show how a swarm gets on, wherever it runs", watching.define_watch, watching.watch_),
    Command("list", "list the experiments in a folder", reading.define_list, reading.list_),
    Command("compare", "compare experiments", reading.define_compare, reading.compare),
    Command("create", "make an experiment that is run later", experiments.define_create, experiments.create),
    Command(
        "metrics",
        "show what an experiment's nodes logged, by round, node or specialty",
        experiments.define_metrics,
        experiments.metrics,
    ),
    Command(
        "export",
        "write a summary, tables, and all rollouts as a data set",
        experiments.define_export,
        experiments.export,
    ),
    Command(
        "archive",
        "write an experiment into one file, and read that again",
        experiments.define_archive,
        experiments.archive,
    ),
    Command(
        "clean",
        "remove what an experiment can do without, or all of it; without --yes it is only said what",
        experiments.define_clean,
        experiments.clean,
    ),
    Command(
        "rename",
        "give an experiment another name; refused while it runs",
        experiments.define_rename,
        experiments.rename,
    ),
    Command(
        "report",
        "write a page about experiments: verdict, curves, tables, incidents, rollouts to read",
        reporting.define_report,
        reporting.report,
    ),
    Command(
        "doctor",
        "say whether a swarm can run over a folder, from one machine or two",
        checking.define_doctor,
        checking.doctor,
    ),
    Command(
        "sweep",
        "run a grid of settings under several seeds, or go on with one, and report on all of it",
        sweeping.define_sweep,
        sweeping.sweep,
    ),
    Command(
        "export-model",
        "write a node's model as a folder that transformers loads",
        models.define_export,
        models.export_model,
    ),
    Command(
        "identity",
        "make a node's key, show its peer id and animal name, or take over one of RL Swarm",
        identity.define_identity,
        identity.identity,
    ),
    Command(
        "config",
        "print a whole configuration, with the meaning of every key",
        reading.define_config,
        reading.config,
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: its arguments; None takes those of the process.

    Returns:
        The exit status: 0 done, 1 a node or actor failed, 2 a mistake of the user, 3 nothing was learned, 130
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
