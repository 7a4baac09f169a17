"""The table of all subcommands, and what a mistake or a failure becomes: one line and an exit status."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import NoReturn

from drive_store import InvalidName, NotAFile, StoreDenied, StoreError, UnsupportedStore
from swarm_ray.cli import manage, prepare, results, run, status, sweep
from swarm_ray.cli.arguments import parse
from swarm_ray.cli.output import FAILED, INTERRUPTED, MISTAKE, complain
from swarm_ray.errors import SwarmError, UserError

_MISTAKES = (UserError, StoreDenied, InvalidName, NotAFile, UnsupportedStore)
"""What another command line mends, such as another folder."""

COMMANDS = (
    *run.COMMANDS,
    *status.COMMANDS,
    *results.COMMANDS,
    *manage.COMMANDS,
    *sweep.COMMANDS,
    *prepare.COMMANDS,
)
"""Every subcommand. A new one is a function in a module of this package, and an entry in the `COMMANDS` at its end."""


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
