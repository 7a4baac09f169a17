"""The command `sweep` where nothing is left to run, and what it decides before it runs anything."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sweeps_for_tests import SPLITS, plan_of, write_runs, write_sweep

from swarm_ray.cli import main
from swarm_ray.config.load import load_config
from swarm_ray.sweeps.plan import read_plan
from swarm_ray.sweeps.runner import distinct_models, fitting

SMALL = {"grid": {"local, external": [[8, 0], [4, 4]]}, "seeds": [0, 1], "baseline": {"external": 0}}
DOCUMENT = Path(__file__).parents[2] / "docs" / "sweeps.md"
ALONE = """
import sys
from swarm_ray.cli import main
status = main(sys.argv[1:])
assert not {"ray", "torch", "transformers"} & set(sys.modules)
sys.exit(status)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "My Drive"
    write_runs(plan_of(tmp_path, SMALL), folder)
    return folder


def test_a_finished_sweep_is_reported_on_without_ray(tmp_path: Path, root: Path) -> None:
    file = write_sweep(tmp_path, SMALL)
    command = [sys.executable, "-c", ALONE, "sweep", str(file), "--root", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "swarm-ray: splits: 2 settings x 2 seeds = 4 runs, 4 finished\n"
    assert "cumulative reward, against local=8, external=0" in done.stdout
    assert done.stdout.endswith(f"report: {root}/splits.html, splits.csv, splits.json\n")
    assert len(json.loads((root / "splits.json").read_text())["points"]) == 2


def test_a_dry_run_lists_and_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_sweep(tmp_path, SMALL)
    assert main(["sweep", str(file), "--root", str(tmp_path / "new"), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.count(" new ") == 4
    assert "splits-local4-external4-s1" in said
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--parallel", "0"], "--parallel: '0' is not possible; give auto or a whole number above 0"),
        (["--parallel", "two"], "--parallel: 'two' is not possible"),
        (["--report", "page.pdf"], "--report page.pdf: the page's name must end in .html"),
        (["--report", "none/such/page.html"], "its folder is missing"),
        (["--report", "notes.html"], "notes.json exists, and it is not a sweep's report"),
        (["--report", f"{300 * 'a'}.html"], "could not be written: File name too long"),
        (["--report", ""], "an empty path names no place to write to"),
        (["--report", "new/experiments/a/page.html"], "lies among the experiments' own files"),
        (["--fast"], "no such argument: --fast"),
    ],
)
def test_mistakes_are_told_first(tmp_path: Path, capsys, monkeypatch, options: list[str], said: str) -> None:
    file = write_sweep(tmp_path, SMALL)
    (tmp_path / "notes.json").write_text("mine")
    monkeypatch.chdir(tmp_path)
    complaints = []
    for more in ([], ["--dry-run"]):
        assert main(["sweep", str(file), "--root", "new", *options, *more]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        complaints.append(captured.err)
    assert said in complaints[0]
    assert complaints[0].count("\n") == 1
    assert complaints[0] == complaints[1], "a dry run finds the same"
    assert not (tmp_path / "new").exists()


def test_reports_replace_only_reports(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["sweep", str(write_sweep(tmp_path, SMALL)), "--root", str(root)]
    assert [main(command), main(command)] == [0, 0], "the default names hold when it is given again"
    capsys.readouterr()
    for kind in ("html", "csv", "json"):
        path = root / f"splits.{kind}"
        ours = path.read_bytes()
        path.write_text("my own work")
        assert main([*command, "--dry-run"]) == main(command) == 2
        said = capsys.readouterr().err
        refusal = f"{path} exists, and it is not a sweep's report that this version of Swarm Ray wrote: give "
        assert said.count(refusal) == 2
        assert path.read_text() == "my own work"
        path.write_bytes(ours)
    page, ours = root / "splits.html", (root / "splits.html").read_bytes()
    report = ["report", "splits-local8-external0-s0", "--root", str(root), "-o", str(page)]
    assert main(report) == 2, "nor does a report go over a sweep's"
    assert "it is not a report that this version of Swarm Ray wrote" in capsys.readouterr().err
    assert page.read_bytes() == ours
    assert [main([*report, "--overwrite"]), main(command)] == [0, 2]
    page.unlink()
    (root / "splits.json").unlink()
    assert main(command) == 2, "columns alone may be anybody's"
    assert f"{root / 'splits.csv'} exists" in capsys.readouterr().err


def test_the_sweep_of_the_documents_is_one(tmp_path: Path) -> None:
    [block] = re.findall(r"(?ms)^```yaml\n(.*?)^```", DOCUMENT.read_text())
    (tmp_path / "splits.yaml").write_text(block)
    plan = read_plan(tmp_path / "splits.yaml")
    assert len(plan.runs) == 20
    assert plan.runs[0].experiment == "splits-local8-external0-s0"


@pytest.mark.parametrize(
    ("cpus", "trainers", "host", "device", "policies", "fit"),
    [
        (2, 1, 24, None, 0, 2),
        (16, 1, 10, None, 0, 6),
        (16, 1, 10, None, 1, 4),
        (16, 4, 64, None, 0, 4),
        (16, 1, 64, 80, 30, 2),
        (1, 4, 1, 1, 2, 1),
        (64, 1, 1000, 1000, 0, 9),
    ],
)
def test_as_many_run_at_once_as_fit(cpus, trainers, host, device, policies, fit):
    assert fitting(9, cpus, trainers, host * 10**9, device and device * 10**9, policies * 10**9) == fit


def test_a_model_is_prepared_once_for_all_runs_that_share_it(tmp_path: Path) -> None:
    configs = [run.config for run in plan_of(tmp_path).runs]
    assert len(configs) == len(SPLITS["seeds"]) * 4
    assert distinct_models(configs) == configs[:1]
    other = load_config("tiny", overrides={"policy.start": "blank", "nodes": 2})
    assert len(distinct_models([*configs, other])) == 2
    large = [load_config("paper", overrides={"policy.model": "x/y", "local": i}) for i in (4, 4, 8)]
    assert distinct_models(large) == [large[0], large[2]]  # their updates take different memory
