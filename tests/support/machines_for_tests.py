"""The command in a process tree of its own, as on a VM of its own: watched, and killed whole."""

import os
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import psutil
from swarm_for_tests import descendants

from drive_store import ExperimentStore, Store, newest
from swarm_ray.exchange.state_follower import decode_state
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.state import StateRecord

MARK = "SWARM_RAY_TEST_MACHINE"
WITHIN_S = 180.0
HERE = Path(__file__).parent
LOOK_S = 0.02
RAYS_OWN = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""Ray's agents notice only after a minute that Ray has gone."""


class Machine:
    """A process of the command and all that it starts, with a log that nobody reads while it runs.

    Args:
        log: where its output goes; that of an earlier one stays.
        arguments: of `swarm-ray`.
        environment: beside the present one.
    """

    def __init__(self, log: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self._log, self._mark = log, uuid.uuid4().hex
        self._seen: set[psutil.Process] = set()
        with log.open("a") as written:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "swarm_ray.cli", *arguments],
                env={**os.environ, "PYTHONPATH": str(HERE), **(environment or {}), MARK: self._mark},
                stdout=written,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log(self) -> str:
        """What it and those before it said."""
        return self._log.read_text()

    def waits_for(self, text: str) -> None:
        """Wait until it has said `text`."""
        self.wait_until(lambda: text in self.log(), text)

    def wait_until(self, condition: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
        """Wait until `condition` holds while the command runs."""
        deadline = time.monotonic() + within_s
        while not condition():
            assert self.process.poll() is None, f"ended before {what}: {self.log()}"
            assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}: {self.log()}"
            time.sleep(LOOK_S)

    def tree(self) -> list[psutil.Process]:
        """All its processes that are there, those whose parents have gone among them."""
        found = {p for p in psutil.process_iter() if self._is_ours(p)} | set(descendants(self.process.pid))
        self._seen |= found
        return sorted((p for p in self._seen if _alive(p)), key=lambda p: p.pid)

    def actors(self, shell: str) -> list[psutil.Process]:
        """The processes of the actors of a class, found by the title that Ray gives them."""
        return [p for p in self.tree() if _title(p).startswith(f"ray::{shell}")]

    def kill(self) -> None:
        """SIGKILL to the command and all its processes at once, as when a VM is taken."""
        tree = self.tree()
        self.process.kill()
        while tree:
            for process in tree:
                _kill(process)
            psutil.wait_procs(tree, timeout=10)
            tree = self.tree()
        self.process.wait()

    def left(self, within_s: float = 20.0) -> list[str]:
        """Processes that are still there a while after the command has ended."""
        waited_for = [p for p in self.tree() if not _title(p).startswith(RAYS_OWN)]
        _, alive = psutil.wait_procs(waited_for, timeout=within_s)
        return [f"{p.pid}: {_title(p)[:120]}" for p in alive if _alive(p)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return bool(process.environ().get(MARK) == self._mark)
        except psutil.Error:
            return False


def newest_record(root: str, experiment: str) -> StateRecord | None:
    """The newest state record of an experiment; None before the first."""
    paths = ExperimentAddress(root, experiment).paths
    if not Path(root, paths.experiment_json).exists():
        return None
    found = newest(ExperimentStore(Store(root), paths))
    return decode_state(found) if found is not None else None


def last_closed(root: str, experiment: str) -> int:
    """The last round that closed; -1 before the first."""
    record = newest_record(root, experiment)
    return max((tally.round for tally in record.tallies.values()), default=-1) if record else -1


def logged_steps(root: str) -> Counter[tuple[str, int]]:
    """How often the row of each node and step lies in the segments, before readers leave doubles out."""
    lines = [line for path in Path(root).rglob("logs/*/metrics-*") for line in path.read_bytes().splitlines()]
    rows = [msgspec.json.decode(line, type=StepMetrics) for line in lines if b'"grad_norm"' in line]
    return Counter((row.node, row.step) for row in rows)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
