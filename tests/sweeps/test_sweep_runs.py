"""A real sweep: killed in the middle, gone on with, one run failed and the others not, then done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from machines_for_tests import WITHIN_S, Machine, newest_record
from swarm_for_tests import SMALL, closed_stages

from drive_store import EXPERIMENTS
from swarm_ray.experiments import list_experiments

pytestmark = [pytest.mark.machines, pytest.mark.timeout(600)]

ROUNDS = 8
NAMES = [f"small-local2-external{j}-s{seed}" for j in (0, 2) for seed in (0, 1)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    settings = {key: value for key, value in SMALL.items() if key not in {"local", "external"}}
    more = {"rounds": ROUNDS, "slow_down_s": 0.15, "pace.dead_after_s": 8}
    sweep = {
        "name": "small",
        "set": settings | more,
        "grid": {"local, external": [[2, 0], [2, 2]]},
        "seeds": [0, 1],
        "baseline": {"external": 0},
    }
    path = tmp_path / "small sweep.yaml"
    path.write_text(yaml.safe_dump(sweep))
    return path


def test_a_sweep_goes_on_where_it_stopped(file: Path, tmp_path: Path) -> None:
    root, log = str(tmp_path / "My Drive"), tmp_path / "log"
    command = ["sweep", str(file), "--root", root, "--report", str(tmp_path / "report.html")]
    Path(root, EXPERIMENTS, NAMES[0]).mkdir(parents=True)
    first = Machine(log, *command, "--parallel", "2")
    try:
        first.wait_until(lambda: closed(root, NAMES[3]) >= 1, "the last run has begun")
    finally:
        first.kill()
    assert states(root)[NAMES[3]] == "running"
    before = {name: records(root, name) for name, state in states(root).items() if state == "finished"}
    assert before

    second = Machine(log, *command)
    assert second.process.wait(timeout=WITHIN_S) == 1, second.log()
    assert second.left() == []
    assert {name: records(root, name) for name in before} == before
    assert states(root) == dict.fromkeys(NAMES[1:], "finished")
    assert [stage.round for stage in closed_stages(root, NAMES[3])] == list(range(ROUNDS))

    failure = f"swarm-ray: {NAMES[0]} failed: its folder in {root} has no experiment.json"
    assert second.log().splitlines()[-1].startswith(failure)
    assert f"1 failed ({NAMES[0]})" in second.log()
    assert "Traceback" not in second.log()
    document = json.loads((tmp_path / "report.json").read_text())
    assert document["not_finished"] == {NAMES[0]: "new"}
    assert [len(point["runs"]) for point in document["points"]] == [1, 2]
    # Runs of one seed begin with the same questions and models, and those of another do not.
    rewards = [closed_stages(root, name)[0].rewards for name in NAMES[1:]]
    assert rewards[0] == rewards[2] != rewards[1]


def closed(root: str, experiment: str) -> int:
    record = newest_record(root, experiment)
    return max((tally.round for tally in record.tallies.values()), default=-1) if record else -1


def states(root: str) -> dict[str, str]:
    return {found.name: found.state for found in list_experiments(root) if found.state != "unreadable"}


def records(root: str, experiment: str) -> list[str]:
    return sorted(path.name for path in Path(root, EXPERIMENTS, experiment, "state").rglob("*-s*"))
