"""The command in a session of its own: Ctrl-C ends all of it, whole; output that nobody reads stalls nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from swarm_for_tests import SMALL, closed_stages, descendants, records_of

from swarm_ray.experiments import experiment_metrics, experiment_status
from swarm_ray.experiments import list_experiments as listed

ENDLESS = {"rounds": 500, "alarm_rounds": 500, "evaluation.questions": 0}
SPECIALTY = {"tasks.specialties": ["loud"], "tasks.modules": ["loud_tasks_for_tests"], "tasks.held_out": 0}
RAYS_OWN = {"ray::DashboardAgent", "ray::RuntimeEnvAgent"}
"""Ray's agents notice only after a minute that Ray has gone."""


def wait_until(condition: Callable[[], bool], within_s: float, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def rounds_closed(root: str) -> int:
    if not Path(root, "experiments", "halted", "experiment.json").exists():
        return 0
    return listed(root)[0].round


def simulate(
    root: str,
    experiment: str,
    settings: dict[str, Any],
    out: Any = subprocess.PIPE,
    err: int = subprocess.PIPE,
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "swarm_ray.cli", "simulate", "--root", root, "--experiment", experiment]
    command += [f"{key}={json.dumps(value)}" for key, value in (SMALL | settings).items()]
    said = {"env": {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, "stdout": out, "stderr": err}
    return subprocess.Popen(command, text=True, start_new_session=True, **said)


def interrupted(root: str, process: subprocess.Popen[str], number: signal.Signals, closed: int) -> None:
    """What holds of the command that is sent a signal when so many rounds have closed."""
    try:
        wait_until(lambda: rounds_closed(root) >= closed, 90, process)
        started = [p for p in descendants(process.pid) if p.name() not in RAYS_OWN]
        assert len(started) > 5
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        said, complained = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, complained
    assert complained.splitlines()[-1] == "swarm-ray: interrupted; published files and logs are complete"
    assert "Traceback" not in complained
    assert "halted is stopped" in said
    _, alive = psutil.wait_procs(started, timeout=20)
    assert alive == []
    last = records_of(root, "halted")[-1]
    assert (last.state, last.note) == ("stopped", "stopped on request")
    assert experiment_status(root, "halted").state == "stopped"


def books_agree(root: str) -> None:
    closed, rows = closed_stages(root, "halted"), experiment_metrics(root, "halted")
    assert [c.round for c in closed] == list(range(len(closed)))
    for node in ("node-0", "node-1"):
        logged = [row for row in rows if row.node == node]
        assert [row.reward for row in logged] == [c.rewards[node] for c in closed][: len(logged)]
        assert [row.step for row in logged] == list(range(len(logged)))
        assert len(logged) >= len(closed) - 1


@pytest.mark.ray
def test_a_signal_ends_the_run_cleanly_and_the_same_command_goes_on(root: str) -> None:
    interrupted(root, simulate(root, "halted", ENDLESS), signal.SIGINT, 2)
    books_agree(root)
    closed = len(closed_stages(root, "halted"))
    interrupted(root, simulate(root, "halted", ENDLESS), signal.SIGTERM, closed + 2)
    books_agree(root)
    assert len(closed_stages(root, "halted")) > closed
    for node in experiment_status(root, "halted").nodes:
        assert "from this machine" in node.recovered
        assert "nothing lost" in node.recovered


@pytest.mark.machines
def test_output_that_nobody_reads_stalls_nothing(root: str, tmp_path: Path) -> None:
    """T6: nodes that print without end, and the driver too: no round stalls, no row is lost."""
    settings = ENDLESS | SPECIALTY | {"rounds": 15}
    with (tmp_path / "said").open("wb") as said:
        process = simulate(root, "loud", settings, said, subprocess.STDOUT)
        try:
            assert process.wait(120) == 0
        finally:
            process.kill()
    assert len(closed_stages(root, "loud")) == 15
    rows = sorted((row.node, row.step) for row in experiment_metrics(root, "loud"))
    assert rows == [(node, step) for node in ("node-0", "node-1") for step in range(15)]
