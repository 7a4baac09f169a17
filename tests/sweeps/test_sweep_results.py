"""What is said of a sweep's runs: figures from the folder, and what so few seeds cannot tell."""

import csv
import io
import json
from pathlib import Path

import pytest
from experiments_for_tests import FakeExperiment
from sweeps_for_tests import plan_of, result_of, result_of_all, write_runs

from swarm_ray.cli import main
from swarm_ray.errors import ConfigError, UserError
from swarm_ray.experiments import compare_experiments
from swarm_ray.observe.statistics import difference, interval, paired_difference
from swarm_ray.sweeps.charts import seed_curves
from swarm_ray.sweeps.page import csv_text, json_text, page_text, write_reports
from swarm_ray.sweeps.plan import SweepPlan
from swarm_ray.sweeps.results import SweepResult, run_statuses, to_do
from swarm_ray.sweeps.table import limitations, plan_text, result_text, seeds_needed

THREE = {"grid": {"local, external": [[8, 0], [6, 2], [4, 4]]}, "baseline": {"external": 0}}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> SweepPlan:
    return plan_of(tmp_path_factory.mktemp("file"), THREE)


@pytest.fixture(scope="module")
def root(plan: SweepPlan, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("My Drive")
    write_runs(plan, folder)
    return str(folder)


@pytest.fixture(scope="module")
def result(plan: SweepPlan, root: str) -> SweepResult:
    return result_of(plan, Path(root))


def test_a_point_is_its_seeds(plan: SweepPlan, root: str, result: SweepResult) -> None:
    sums = [c.cumulative_reward for c in compare_experiments(root, [run.experiment for run in plan.runs])]
    base, most = sums[:3], sums[6:]
    found = [point.figures["cumulative_reward"] for point in result.points]
    assert found[0].interval == interval(base)
    assert (found[0].paired_difference, found[0].difference, found[0].p_holm) == (None, None, None)
    assert found[2].values == dict(enumerate(most))
    assert found[2].paired_difference == paired_difference(base, most)
    assert found[2].difference == difference(base, most)
    assert found[2].difference.u == 9  # all of them learned faster
    assert (found[2].difference.p, found[2].p_holm) == (pytest.approx(0.1), pytest.approx(0.2))


def test_too_few_seeds_are_said_to_be_too_few(result: SweepResult) -> None:
    few, tested = limitations(result)
    assert few.startswith("Intervals are bootstrapped over 3 seeds")
    assert "of 3 values about 74% of them hold the true mean" in few
    assert "With 3 and 3 runs the smallest possible two-sided p is 0.1, 0.2 after Holm's adjustment" in tested
    assert "significant at 0.05 here, however large it is; that takes 5 seeds" in tested
    assert [seeds_needed(count) for count in (1, 2, 3, 6, 7)] == [4, 5, 5, 5, 6]


def test_enough_seeds_can_tell(tmp_path: Path) -> None:
    changes = {"seeds": [0, 1, 2, 3, 4], "grid": {"local, external": [[8, 0], [4, 4]]}}
    found = result_of_all(tmp_path, THREE | changes)
    assert not any("significant" in line for line in limitations(found))
    assert found.points[1].figures["cumulative_reward"].p_holm == pytest.approx(2 / 252)
    text = page_text(found)
    assert '<article class="finding yes">' in text
    assert "Better: cumulative reward +" in text


def test_one_seed_has_no_interval_and_no_baseline_no_test(tmp_path: Path) -> None:
    found = result_of_all(tmp_path, THREE | {"seeds": [4]}, "baseline")
    assert limitations(found) == [
        "With fewer than 2 seeds of a setting no interval is possible.",
        "No baseline is named, so nothing is tested.",
    ]
    assert "against" not in result_text(found)
    assert "Against the baseline" not in page_text(found)


def test_what_is_not_finished_is_named_and_left_out(plan: SweepPlan, tmp_path: Path) -> None:
    write_runs(plan, tmp_path, 4)
    running = FakeExperiment(tmp_path, plan.runs[4].experiment, plan.runs[4].config)
    running.append("running", opens=running.opens(0, ["node-0"]))
    found = run_statuses(plan, str(tmp_path))
    assert [status.state for status in found] == [*["finished"] * 4, "running", *["new"] * 4]
    assert to_do(found) == [plan.runs[4], *plan.runs[5:]]
    result = result_of(plan, tmp_path)
    assert [len(point.runs) for point in result.points] == [3, 1, 0]
    remarks = " ".join(limitations(result))
    assert f"Not finished, and left out: {plan.runs[4].experiment} (running)" in remarks
    assert "With 3 and 1 runs the smallest possible two-sided p is 0.5." in remarks
    paired = result.points[1].figures["cumulative_reward"].paired_difference
    assert (paired.count, paired.low) == (1, None)
    assert "no interval with one seed" in page_text(result)
    assert len(result_text(result).splitlines()) > 20


def test_a_gap_in_a_log_is_named(plan: SweepPlan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_runs(plan, tmp_path)
    torn, whole = (tmp_path / "experiments" / plan.runs[n].experiment / "state" for n in (1, 2))
    next(torn.glob("*/*-s00000006.*")).unlink()
    record = next(whole.glob("*/*-s00000006.*"))
    record.with_name(f"{record.stem} (1){record.suffix}").write_bytes(record.read_bytes())
    record.write_text("damaged; its twin is not")
    result = result_of(plan, tmp_path)
    name = plan.runs[1].experiment
    counted = [sorted(point.figures["seconds"].values) for point in result.points]
    assert counted == [[0, 2], [0, 1, 2], [0, 1, 2]]
    assert [*result.not_counted] == [name]
    [remark] = [line for line in limitations(result) if "left out" in line]
    assert remark.startswith(f"{name} is finished but left out: the state log of {name} can be read up to ")
    assert remark in page_text(result)
    assert json.loads(json_text(result))["not_counted"] == result.not_counted
    assert main(["sweep", str(plan.where), "--root", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert f"swarm-ray: {name} is left out: the state log of" in told.err
    assert f"{name} is finished but left out" in " ".join(told.out.split())


def test_nothing_at_all_is_a_result_too(plan: SweepPlan, tmp_path: Path) -> None:
    result = result_of(plan, tmp_path)
    assert "Nothing could be tested" in " ".join(limitations(result))
    assert "Not compared" in page_text(result)
    assert csv_text(result).count("\n") == 1


def test_a_run_that_goes_on_comes_first(plan: SweepPlan, tmp_path: Path) -> None:
    late = plan.runs[-1]
    FakeExperiment(tmp_path, late.experiment, late.config).append("stopped")
    assert to_do(run_statuses(plan, str(tmp_path)))[0] == late


def test_other_settings_under_a_name_are_refused(plan: SweepPlan, root: str, tmp_path: Path) -> None:
    changed = plan_of(tmp_path, THREE | {"set": {"nodes": 2, "rounds": 20}})
    with pytest.raises(ConfigError) as raised:
        run_statuses(changed, root)
    said = str(raised.value)
    assert "the folder has splits-local8-external0-s0 with other settings: rounds: 20 here, 10 there" in said
    assert said.startswith(changed.where)
    assert "\n" not in said


def test_runs_of_different_length_are_told_apart(tmp_path: Path) -> None:
    changes = {"grid": {"rounds": [10, 20]}, "set": {"nodes": 2}, "baseline": {"rounds": 10}}
    result = result_of_all(tmp_path, changes)
    assert "The runs differ in rounds" in " ".join(limitations(result))
    curve = seed_curves(result.points[1])
    assert len(curve.mean) == 20
    assert all(low <= mean <= high for low, mean, high in zip(curve.low, curve.mean, curve.high, strict=True))


def test_files_hold_every_run_and_every_figure(result: SweepResult) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(result))))
    columns = [[row[key] for row in rows[::3]] for key in ("experiment", "local", "external", "baseline")]
    names = [f"splits-local{local}-external{8 - local}-s0" for local in (8, 6, 4)]
    assert columns == [names, ["8", "6", "4"], ["0", "2", "4"], ["1", "0", "0"]]
    document = json.loads(json_text(result))
    last = document["points"][2]["measures"]["cumulative_reward"]
    assert [float(row["cumulative_reward"]) for row in rows[6:]] == list(last["values"].values())
    assert last["difference"]["p"] == pytest.approx(0.1)
    assert last["paired_difference"]["count"] == 3
    assert document["remarks"] == limitations(result)


def test_the_table_fits_and_is_plain(result: SweepResult) -> None:
    text = result_text(result, width=100)
    assert max(map(len, text.splitlines())) <= 100
    assert text.isascii()
    assert text.count("(baseline)") == 1
    narrow = result_text(result, width=30)
    assert len(narrow.splitlines()) > len(text.splitlines())


def test_a_plan_says_how_large_it_is(plan: SweepPlan, root: str, tmp_path: Path) -> None:
    text = plan_text(plan, run_statuses(plan, str(tmp_path)))
    size = "splits: 3 settings x 3 seeds = 9 runs, 0 finished; left are 90 rounds with 8640 completions, "
    assert size in text  # 2 nodes, 10 rounds, 8 completions and 3 seeds, times 8 + 6 + 4
    assert "9 finished" in plan_text(plan, run_statuses(plan, root))


def test_the_page_holds_all_it_shows(result: SweepResult) -> None:
    text = page_text(result)
    assert not any(outside in text for outside in ("src=", "url(http", "<script"))
    assert text.count("<svg") == 6
    assert "Too few seeds to tell: cumulative reward +" in text
    ids = [part.split('"')[0] for part in text.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


def test_text_of_the_file_is_escaped_in_the_page(tmp_path: Path) -> None:
    grid = {"policy.system_prompt": ["<script>alert(1)</script>", "a & \u202e b"]}
    text = page_text(result_of_all(tmp_path, {"grid": grid, "seeds": [0]}, "baseline"))
    assert "<script" not in text
    assert "\u202e" not in text
    assert "&lt;script&gt;" in text


def test_a_page_that_cannot_be_written_is_one_line(result: SweepResult, tmp_path: Path) -> None:
    (tmp_path / "d.html").mkdir()
    with pytest.raises(UserError, match="this is a folder"):
        write_reports(result, tmp_path / "d.html")
    written = write_reports(result, tmp_path / "My page.html")
    assert [path.name for path in written] == ["My page.html", "My page.csv", "My page.json"]


def test_what_learned_nothing_counts_and_is_named(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"seeds": [0]}, "grid", "baseline")
    run = plan.runs[0]
    experiment = FakeExperiment(tmp_path, run.experiment, run.config)
    for number in range(run.config.rounds):
        experiment.close(number, {"node-0": 0.0, "node-1": 0.0})
    experiment.finish(learned_nothing=True)
    result = result_of(plan, tmp_path)
    assert result.points[0].figures["cumulative_reward"].values == {0: 0.0}
    assert "Learned nothing, but counted: splits-s0." in limitations(result)
