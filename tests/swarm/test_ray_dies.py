"""The private Ray of a command dies in the middle: it is started again with every actor, and the run completes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from restarts_for_tests import events_of
from swarm_for_tests import SMALL, closed_stages, descendants

from swarm_ray.experiments import experiment_metrics
from swarm_ray.experiments import list_experiments as listed

pytestmark = pytest.mark.machines
ROUNDS = 40
CHANGES = {"rounds": ROUNDS, "alarm_rounds": 500, "evaluation.questions": 0, "pace.dead_after_s": 60}


def test_a_killed_raylet_costs_no_row_and_leaves_no_process(root: str) -> None:
    overrides = [f"{key}={json.dumps(value)}" for key, value in (SMALL | CHANGES).items()]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "swarm_ray.cli",
            "simulate",
            "--root",
            root,
            "--experiment",
            "grounded",
            *overrides,
        ],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 90
        while not Path(root, "experiments").is_dir() or listed(root)[0].round < 2:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        of_the_first_ray = descendants(process.pid)
        (raylet,) = [p for p in of_the_first_ray if p.name() == "raylet"]
        raylet.kill()
        said, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert said.splitlines()[-1] == "grounded is done"
    assert psutil.wait_procs(of_the_first_ray, timeout=20)[1] == []
    assert [stage.round for stage in closed_stages(root, "grounded")] == list(range(ROUNDS))
    rows = sorted((row.node, row.step) for row in experiment_metrics(root, "grounded"))
    assert rows == [(node, step) for node in ("node-0", "node-1") for step in range(ROUNDS)]
    assert any("Ray died on this machine" in event.text for event in events_of(root, "restarted"))
