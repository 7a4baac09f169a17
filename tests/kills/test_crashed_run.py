"""A run that may not restart anything says what killed it, and the same command resumes it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from machines_for_tests import Machine, last_closed
from swarm_for_tests import SMALL, closed_stages, records_of

from swarm_ray.experiments import experiment_metrics, experiment_status

pytestmark = pytest.mark.machines
ROUNDS = 12
CHANGES = {
    "rounds": ROUNDS,
    "alarm_rounds": 500,
    "evaluation.questions": 0,
    "slow_down_s": 0.2,
    "pace.dead_after_s": 60,
    "pace.max_s": 120,
    "supervision.restarts": 0,
}


def test_it_fails_with_its_cause_and_the_same_command_ends_it_well(tmp_path: Path) -> None:
    root, log = str(tmp_path / "My Drive"), tmp_path / "log"
    place = ["--root", root, "--experiment", "crashed"]
    overrides = [f"{key}={json.dumps(value)}" for key, value in (SMALL | CHANGES).items()]
    machine = Machine(log, "simulate", *place, *overrides)
    try:
        machine.wait_until(lambda: last_closed(root, "crashed") >= 2, "three rounds")
        (trainer,) = machine.actors("TrainerShell")
        trainer.kill()
        assert machine.process.wait(90) == 1
        assert machine.left() == []
    finally:
        machine.kill()
    said = log.read_text()
    assert "Traceback" not in said
    last = [line for line in said.splitlines() if line.startswith("swarm-ray: ")]
    assert len(last) == 1
    assert "crashed failed: trainer-0 died" in last[0]
    assert "resident memory" in last[0]
    status = experiment_status(root, "crashed")
    assert status.state == "failed"
    assert "trainer-0 died" in status.note
    asked = [sys.executable, "-m", "swarm_ray.cli", "status", *place]
    printed = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "failed" in printed
    assert "trainer-0 died" in " ".join(printed.split())
    _goes_on(root, log, [*place, *overrides])


def _goes_on(root: str, log: Path, arguments: list[str]) -> None:
    machine = Machine(log, "simulate", *arguments)
    try:
        assert machine.process.wait(150) == 0, log.read_text()
    finally:
        machine.kill()
    assert log.read_text().splitlines()[-1] == "crashed is done"
    assert [stage.round for stage in closed_stages(root, "crashed")] == list(range(ROUNDS))
    rows = sorted((row.node, row.step) for row in experiment_metrics(root, "crashed"))
    assert rows == [(node, step) for node in ("node-0", "node-1") for step in range(ROUNDS)]
    assert records_of(root, "crashed")[-1].state == "finished"
    status = experiment_status(root, "crashed")
    assert (status.state, [node.problem for node in status.nodes]) == ("finished", [None, None])
