"""Weights & Biases: one run per node, grouped by experiment, kept on this machine's disk or sent at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from swarm_ray.tracking.tracker import TrackedStep, TrackerFailed, TrackerFiles

if TYPE_CHECKING:
    from wandb import Run

INIT_WITHIN_S = "30"
"""A server that has not answered by then is away; WANDB_INIT_TIMEOUT says otherwise."""
QUIET: dict[str, Any] = {
    "silent": True,
    "console": "off",
    "save_code": False,
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "host": "",
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}
"""Neither prints nor code, names of hosts or packages, nor a thread that looks at the machine."""


class WandbTracker:
    """Gives a node's figures to a run of its own, whose id is the same after every restart.

    The step is the node's own count of updates, which never decreases; the round is a figure beside it. A resumed
    run continues: online at once, and offline when `wandb sync` sends the parts one after another.

    Args:
        mode: into files on this machine, or to the server too.
        project: where the runs go.
        group: the experiment.
        run_prefix: of the runs' ids; no other experiment has it.
        config: shown with each run.
        files: where wandb writes.
    """

    name = "wandb"

    def __init__(
        self,
        mode: Literal["offline", "online"],
        project: str,
        group: str,
        run_prefix: str,
        config: Mapping[str, Any],
        files: TrackerFiles,
    ) -> None:
        self._mode, self._project, self._group = mode, project, group
        self._prefix, self._config, self._files = run_prefix, dict(config), files
        self._runs: dict[str, tuple[str, Run]] = {}
        """The run of each node, with the incarnation that it is about."""

    def log(self, step: TrackedStep) -> None:
        """See `Tracker.log`."""
        try:
            self._run_of(step.node, step.incarnation).log(dict(step.figures), step=step.step)
        except _failures() as error:
            raise _failed(error) from error

    def close(self) -> None:
        """See `Tracker.close`."""
        import wandb

        try:
            while self._runs:
                self._finish(self._runs.popitem()[1][1])
        except _failures() as error:
            raise _failed(error) from error
        finally:
            with suppress(*_failures()):  # its own process ends with this one in any case
                wandb.teardown()

    def _run_of(self, node: str, incarnation: str) -> Run:
        known = self._runs.get(node)
        if known is not None:
            if known[0] == incarnation:
                return known[1]
            self._finish(known[1])
        self._runs[node] = (incarnation, self._begin(node, incarnation))
        return self._runs[node][1]

    def _begin(self, node: str, incarnation: str) -> Run:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # it would report to wandb.ai, offline too
        os.environ.setdefault("WANDB_SILENT", "true")  # the run's settings do not hold for the login
        os.environ.setdefault("WANDB_INIT_TIMEOUT", INIT_WITHIN_S)
        import wandb

        return wandb.init(
            project=self._project,
            group=self._group,
            name=node,
            id=f"{self._prefix}-{node}",
            resume="allow",
            reinit="create_new",
            mode=self._mode,
            dir=str(self._files.home(node, incarnation)),
            config=self._config,
            settings=wandb.Settings(**QUIET),
        )

    def _finish(self, run: Run) -> None:
        """End a run; what has reached the server whole need not be copied."""
        folder = Path(run.dir).parent
        run.finish()
        if self._mode == "online":
            shutil.rmtree(folder, ignore_errors=True)


def _failures() -> tuple[type[Exception], ...]:
    """What wandb raises: its own errors, those of its connection to its own process, and of wrong use."""
    from wandb.errors import Error
    from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError

    return (Error, HandleAbandonedError, MailboxClosedError, OSError, RuntimeError, ValueError, TypeError)


def _failed(error: Exception) -> TrackerFailed:
    from swarm_ray.config.secrets import without_secrets

    return TrackerFailed(without_secrets(f"{type(error).__name__}: {error}"))
