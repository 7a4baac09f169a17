"""A folder that an earlier version wrote still opens, reports and resumes.

`tests/fixtures/before.tar.gz` holds a finished experiment `before` of two nodes and four rounds, with its model. The
command that made it:

    swarm-ray simulate --root runs --experiment before --nodes 2 local=2 external=2 completions=4 \\
        policy.model=./model evaluation.questions=2 checkpoint.every=1 tasks.specialties=["coin"] \\
        tasks.modules=["swarm_tasks_for_tests"] tasks.pool=600 policy.device=cpu supervision.data_failures=1 --rounds 4
"""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from swarm_ray.cli import main
from swarm_ray.experiments import experiment_metrics, experiment_status
from swarm_ray.experiments.folder import ExperimentAddress, local_folder

TESTS = Path(__file__).parent.parent
BEFORE = ["before", "--root", "runs"]


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with `runs` and `model` in it."""
    with tarfile.open(TESTS / "fixtures" / "before.tar.gz") as packed:
        packed.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_reading_command_reads_it(earlier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--root", "runs", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert [listed[key] for key in ("name", "state", "round", "rounds")] == ["before", "finished", 3, 4]
    assert main(["status", "--root", "runs", "--experiment", "before", "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    found = [(node["id"], node["round"], node["step"]) for node in status["nodes"]]
    assert found == [("node-0", 3, 4), ("node-1", 3, 4)]
    assert main(["metrics", *BEFORE, "--by", "step", "--json"]) == 0
    assert [row["round"] for row in json.loads(capsys.readouterr().out)] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert main(["report", *BEFORE]) == 0
    assert "before" in (earlier / "before.html").read_text()
    assert capsys.readouterr().err == ""


@pytest.mark.machines
def test_it_resumes_from_its_folder_alone(earlier: Path) -> None:
    assert not local_folder(ExperimentAddress("runs", "before")).exists()
    words = ["simulate", "--root", "runs", "--experiment", "before", "--rounds", "6"]
    command = [sys.executable, "-m", "swarm_ray.cli", *words]
    found_there = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS / "support")])}
    done = subprocess.run(command, env=found_there, check=True, stderr=subprocess.PIPE, text=True)
    status = experiment_status("runs", "before")
    assert (status.state, status.rounds) == ("finished", 6)
    assert [(node.step, node.problem) for node in status.nodes] == [(6, None)] * 2
    for node in status.nodes:
        assert node.recovered.startswith("resumed at step 4 from the checkpoint of step 4, round 3, ")
        assert node.recovered.endswith("; nothing lost")
        assert f"before, {node.id}: {node.recovered}\n" in done.stderr
    rows = experiment_metrics("runs", "before")
    taken = [(number, number, node) for number in range(6) for node in ("node-0", "node-1")]
    assert sorted((row.round, row.step, row.node) for row in rows) == taken
