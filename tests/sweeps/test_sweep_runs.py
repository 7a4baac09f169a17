"""A real sweep: killed in the middle, gone on with, one run failed and the others not, then done."""

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
ENDS = ("0-slow_down_s0p0", "1-slow_down_s0p0", "2-slow_down_s0p5")
TORN, QUICK, SLOW = (f"small-local2-external{which}-s0" for which in ENDS)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    settings = {key: value for key, value in SMALL.items() if key not in {"local", "external"}}
    sweep = {
        "name": "small",
        "set": settings | {"rounds": ROUNDS, "pace.dead_after_s": 8},
        "grid": {"local, external, slow_down_s": [[2, 0, 0.0], [2, 1, 0.0], [2, 2, 0.5]]},
        "seeds": [0],
        "baseline": {"external": 0},
    }
    path = tmp_path / "small sweep.yaml"
    path.write_text(yaml.safe_dump(sweep))
    return path


def test_a_sweep_goes_on_where_it_stopped(file: Path, tmp_path: Path) -> None:
    root, log = str(tmp_path / "My Drive"), tmp_path / "log"
    command = ["sweep", str(file), "--root", root, "--report", str(tmp_path / "report.html")]
    Path(root, EXPERIMENTS, TORN).mkdir(parents=True)
    first = Machine(log, *command, "--parallel", "2")
    try:
        first.wait_until(lambda: states(root).get(QUICK) == "finished", "one is done")
        first.wait_until(lambda: closed(root, SLOW) >= 1, "the other is under way")
    finally:
        first.kill()
    assert states(root)[SLOW] == "running"
    before = records(root, QUICK)

    second = Machine(log, *command)
    assert second.process.wait(timeout=WITHIN_S) == 1, second.log()
    assert second.left() == []
    assert records(root, QUICK) == before
    assert states(root) == {QUICK: "finished", SLOW: "finished"}
    assert [stage.round for stage in closed_stages(root, SLOW)] == list(range(ROUNDS))

    failure = f"swarm-ray: {TORN} failed: its folder in {root} has no experiment.json"
    assert second.log().splitlines()[-1].startswith(failure)
    assert f"1 failed ({TORN})" in second.log()
    assert "Traceback" not in second.log()
    document = json.loads((tmp_path / "report.json").read_text())
    assert document["not_finished"] == {TORN: "new"}
    assert [len(point["runs"]) for point in document["points"]] == [0, 1, 1]
    # Runs of one seed begin with the same questions and models.
    assert closed_stages(root, QUICK)[0].rewards == closed_stages(root, SLOW)[0].rewards


def closed(root: str, experiment: str) -> int:
    record = newest_record(root, experiment)
    return max((tally.round for tally in record.tallies.values()), default=-1) if record else -1


def states(root: str) -> dict[str, str]:
    return {found.name: found.state for found in list_experiments(root) if found.state != "unreadable"}


def records(root: str, experiment: str) -> list[str]:
    return sorted(path.name for path in Path(root, EXPERIMENTS, experiment, "state").rglob("*-s*"))
