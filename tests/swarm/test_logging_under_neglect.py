"""T6: nodes that print without end, and nobody who reads it: no round stalls, no row is lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from swarm_for_tests import SMALL, closed_stages

from swarm_ray.experiments import experiment_metrics

pytestmark = pytest.mark.machines
ROUNDS = 15
CHANGES = {
    "rounds": ROUNDS,
    "alarm_rounds": 500,
    "evaluation.questions": 0,
    "tasks.specialties": ["loud"],
    "tasks.modules": ["loud_tasks_for_tests"],
    "tasks.held_out": 0,
}


def test_output_that_nobody_reads_stalls_nothing(root: str, tmp_path: Path) -> None:
    overrides = [f"{key}={json.dumps(value)}" for key, value in (SMALL | CHANGES).items()]
    command = [sys.executable, "-m", "swarm_ray.cli", "simulate", "--root", root, "--experiment", "loud"]
    with (
        (tmp_path / "said").open("wb") as said,
        subprocess.Popen(
            [*command, *overrides],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=said,  # the driver makes questions too
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            code = process.wait(120)
        finally:
            process.kill()
    assert code == 0
    assert len(closed_stages(root, "loud")) == ROUNDS
    rows = sorted((row.node, row.step) for row in experiment_metrics(root, "loud"))
    assert rows == [(node, step) for node in ("node-0", "node-1") for step in range(ROUNDS)]
