"""A logger with trackers, the rows that it is given, and a process of it that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil
from experiments_for_tests import metrics_row

from actors.logger.logger import RunLogger, evaluation_events
from drive_store import ExperimentStore, make_node_folders
from swarm_ray.config.load import load_config, to_json
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.records.metrics import Evaluation, StepMetrics
from swarm_ray.records.nodes import StoreUse
from swarm_ray.records.rollouts import StepCounters
from swarm_ray.records.state import Member
from swarm_ray.tracking.factory import make_trackers
from swarm_ray.tracking.prometheus import Gauge

if TYPE_CHECKING:  # it takes longer to load than all that is loaded here
    from folder_for_tests import Folder

NODES = [Member("node-1", "00000001"), Member("node-2", "00000002")]
PREFIX = "small-0123456789ab"


def row(node: str, step: int) -> StepMetrics:
    """A row whose reward tells its step."""
    told = {
        "round": step + 1,
        "reward": step / 8,
        "reward_by_specialty": {"coin": step / 8},
        "grad_norm": 1.0,
    }
    told |= {"trained": step > 0, "loss": 0.25 if step else None, "seconds": {"generate": 0.5}}
    told["counters"] = StepCounters(used=2, rejected={"torn": 1})
    told["store"] = StoreUse({"creates": 3}, 10, 20) if node == "node-1" else None
    return msgspec.structs.replace(metrics_row(node, step), **told)


def no_gauge(name: str, _meaning: str, _tags: tuple[str, ...]) -> Gauge:
    """Prometheus is not asked for."""
    raise AssertionError(name)


def logger_of(address: ExperimentAddress, spool: Path, *overrides: str) -> RunLogger:
    """A logger as its actor builds it, with the trackers that `overrides` ask for."""
    config = load_config("tiny", overrides=["nodes=2", *overrides])
    asked = (config.tracking, to_json(config), address.experiment, PREFIX)
    return RunLogger(address, config.log, spool, {}, lambda files: make_trackers(*asked, files, no_gauge))


def until(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def joined(folder: Folder) -> Folder:
    """The folder with both nodes in it."""
    for member in NODES:
        make_node_folders(ExperimentStore(folder.store, folder.paths), member.node, member.incarnation)
        folder.registry.register(member.node, member.incarnation, b"{}")
    return folder


def in_a_process(
    folder: Folder, spool: Path, lives: str, *overrides: str, end: str = "close", **environment: str
) -> str:
    """Let a process of its own log, as an actor does, for wandb would leave its traces in ours; what it says at last.

    `lives` are the steps of each logger, as `0-3,4-6`; `end` is `close`, `killed` for the whole process, or
    `core killed` for wandb's own after the first row.
    """
    here = Path(__file__)
    known = os.environ | {"PYTHONPATH": str(here.parent.parent.parent)} | environment
    arguments = [sys.executable, str(here), str(folder.root), str(spool), lives, end, *overrides]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(arguments, **pipes, env=known) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        if end == "killed":
            process.kill()
    assert process.returncode == (-9 if end == "killed" else 0)
    return said.strip()


def log(root: str, spool: str, lives: str, end: str, *overrides: str) -> None:
    """What that process does."""
    said = ""
    for life in lives.split(","):
        first, _, last = life.partition("-")
        logger = logger_of(ExperimentAddress(root, "small"), Path(spool), *overrides)
        logger.open_logs(NODES)
        for step in range(int(first), int(last) + 1):
            logger.log_metrics([row(member.node, step) for member in NODES])
            if end == "core killed" and step == 0:
                until(logger._feed._waiting.empty)
                _kill_core()
        logger.log_events(evaluation_events([Evaluation("node-1", "end", 0.25, {"coin": 0.25}, {"coin": 4})]))
        if end == "killed":
            until(logger._feed._waiting.empty)
        else:
            logger.close()
            said = logger.progress().remark
    sys.stdout.write(f"{said}\n")
    sys.stdout.flush()
    if end == "killed":
        sys.stdin.read()


def _kill_core() -> None:
    """Kill wandb's own process once it has the first run."""
    until(lambda: any("wandb-core" in " ".join(p.cmdline()) for p in psutil.Process().children()))
    for process in psutil.Process().children():
        process.kill()


if __name__ == "__main__":
    log(*sys.argv[1:])
