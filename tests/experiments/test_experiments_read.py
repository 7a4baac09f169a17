"""What a folder says of its experiments: the list, history, comparison and metrics; and what reading them costs."""

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import msgspec
import pytest
from experiments_for_tests import FakeExperiment, finished, metrics_row

from drive_store import SegmentWriter, Store
from swarm_ray.config.load import load_config
from swarm_ray.errors import ExperimentNotFoundError, MalformedFile, SwarmStateError
from swarm_ray.experiments import (
    compare_experiments,
    experiment_history,
    experiment_metrics,
    list_experiments,
    time_breakdown,
)
from swarm_ray.experiments.read import listing
from swarm_ray.experiments.read.experiment import OpenExperiment, open_experiment, open_root
from swarm_ray.experiments.read.status import read_now


def test_experiments_are_listed_oldest_first(tmp_path: Path) -> None:
    config = load_config(overrides=["nodes=2", "rounds=3", "local=5", "external=3", "seed=7"])
    finished(tmp_path, "b-done", config)
    younger = FakeExperiment(tmp_path, "a-new", config, created_at="2026-08-02T00:00:00+00:00")
    done, new = list_experiments(str(tmp_path))
    assert (done.name, done.state, done.round, done.rounds, done.nodes) == ("b-done", "finished", 2, 3, 2)
    assert (done.local, done.external, done.completions, done.seed) == (5, 3, 8, 7)
    assert (done.created_at, done.problem) == ("2026-08-01T12:00:00+00:00", None)
    assert (new.name, new.state, new.round, new.rounds, new.nodes) == ("a-new", "waiting", -1, 3, 0)
    younger.append("failed", learned_nothing=True)
    new = list_experiments(str(tmp_path))[1]
    assert (new.state, new.learned_nothing) == ("failed", True)


def test_what_belongs_to_others_is_passed_over(tmp_path: Path) -> None:
    assert list_experiments(str(tmp_path)) == []
    finished(tmp_path, "mine", load_config(overrides=["nodes=2", "rounds=1"]))
    folder = tmp_path / "experiments"
    (folder / "Holiday pictures (1)").mkdir()
    (folder / "empty").mkdir()
    (folder / "notes").write_text("buy milk")
    (folder / "odd" / "experiment.json").mkdir(parents=True)
    assert [s.name for s in list_experiments(str(tmp_path))] == ["mine"]


def test_one_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    config = load_config(overrides=["nodes=2", "rounds=1"])
    finished(tmp_path, "whole", config)
    torn = finished(tmp_path, "torn", config)
    (tmp_path / torn.paths.experiment_json).write_text('{"experiment": "to')
    altered = finished(tmp_path, "altered", config)
    next((tmp_path / altered.paths.folder).glob("config-*.yaml")).write_text("rounds: 1000000\n")
    strange = finished(tmp_path, "strange", config)
    strange.log.append(b'{"state": 7}', round=0, stage=0)
    found = {s.name: s for s in list_experiments(str(tmp_path))}
    assert found["whole"].problem is None
    assert found["torn"].state == found["strange"].state == "unreadable"
    assert "not an experiment's identity" in str(found["torn"].problem)
    assert "state record 4 of epoch 1" in str(found["strange"].problem)
    assert (found["altered"].state, found["altered"].local) == ("finished", None)
    assert "was altered" in str(found["altered"].problem)


def twenty_rounds(root: Path) -> FakeExperiment:
    """Node 0 earns 0.01 a round more each round, node 1 half of that and nothing counted in round 19."""
    config = load_config(overrides=["nodes=2", "rounds=20"])
    experiment = FakeExperiment(root, "swarm", config)
    experiment.register("node-0", "node-1")
    experiment.rewards = {"node-0": [], "node-1": []}
    for number in range(19):
        experiment.close(number, {"node-0": 0.01 * number, "node-1": 0.005 * number}, seconds=1.5)
    experiment.close(19, {"node-0": 0.19}, seconds=1.5, missing="node-1")
    experiment.finish(start=0.125, end=0.375)
    return experiment


def test_figures_are_those_worked_out_by_hand(tmp_path: Path) -> None:
    twenty_rounds(tmp_path)
    (found,) = compare_experiments(str(tmp_path), ["swarm"])
    assert (found.nodes, found.rounds, found.local, found.external, found.completions) == (2, 20, 4, 4, 8)
    assert found.cumulative_reward == pytest.approx(1.90 + 0.855)
    assert found.reward_first == pytest.approx((0 + 0 + 0.01 + 0.005) / 4)
    assert found.reward_last == pytest.approx((0.18 + 0.09 + 0.19) / 3)
    assert (found.pass_at_1_start, found.pass_at_1_end) == (0.125, 0.375)
    assert (found.generated_tokens, found.external_used, found.seconds) == (3900, 156, 30.0)
    assert (found.state, found.learned_nothing) == ("finished", False)
    keys = "experiment nodes rounds local external completions cumulative_reward reward_first reward_last "
    keys += "pass_at_1_start pass_at_1_end generated_tokens seconds external_used state learned_nothing"
    assert list(msgspec.to_builtins(found)) == keys.split()


def test_history_is_in_order_and_says_who_was_missing(tmp_path: Path) -> None:
    twenty_rounds(tmp_path)
    stages = experiment_history(str(tmp_path), "swarm")
    assert [stage.round for stage in stages] == list(range(20))
    assert (stages[3].accepted, stages[3].missing, stages[3].seconds) == (2, (), 1.5)
    assert stages[3].rewards == {"node-0": 0.03, "node-1": 0.015}
    assert (stages[19].accepted, stages[19].missing) == (1, ("node-1",))


def test_an_experiment_that_has_closed_nothing_has_no_means(tmp_path: Path) -> None:
    config = load_config(overrides=["nodes=2", "rounds=20"])
    FakeExperiment(tmp_path, "new", config).register("node-0")
    (found,) = compare_experiments(str(tmp_path), ["new"])
    assert (found.nodes, found.rounds, found.cumulative_reward, found.seconds) == (0, 0, 0.0, 0.0)
    assert (found.reward_first, found.reward_last, found.pass_at_1_end) == (None, None, None)
    assert found.state == "waiting"


def test_experiments_come_in_the_order_that_was_asked_for(tmp_path: Path) -> None:
    config = load_config(overrides=["nodes=2", "rounds=1"])
    for name in ("a", "b"):
        FakeExperiment(tmp_path, name, config).append("running")
    assert [c.experiment for c in compare_experiments(str(tmp_path), ["b", "a", "b"])] == ["b", "a", "b"]
    with pytest.raises(ExperimentNotFoundError, match="there are a, b"):
        compare_experiments(str(tmp_path), ["a", "c"])


def test_a_record_of_another_version_is_an_error_and_not_skipped(tmp_path: Path) -> None:
    config = load_config(overrides=["nodes=2", "rounds=1"])
    FakeExperiment(tmp_path, "odd", config).log.append(b'{"state": 7}', round=0, stage=0)
    with pytest.raises(SwarmStateError, match="state record 0 of epoch 1"):
        experiment_history(str(tmp_path), "odd")


@pytest.fixture
def experiment(tmp_path: Path) -> FakeExperiment:
    return finished(tmp_path, "swarm", load_config(overrides=["nodes=2", "rounds=3"]))


def test_rows_come_by_round_and_then_by_node(experiment: FakeExperiment) -> None:
    rows = experiment_metrics(str(experiment.root), "swarm")
    nodes = ("node-0", "node-1")
    assert [(row.round, row.node) for row in rows] == [(n, node) for n in range(3) for node in nodes]
    assert rows[0].reward_by_specialty == {"lcm": 0.5}


def test_a_torn_segment_is_reported_and_never_just_left_out(experiment: FakeExperiment) -> None:
    key = experiment.log_rows("node-1", [metrics_row("node-1", 3)], start=1)
    path = experiment.root / key
    path.write_bytes(path.read_bytes()[:-40])
    problems: list[str] = []
    rows = experiment_metrics(str(experiment.root), "swarm", problems)
    assert len(rows) == 6
    assert len(problems) == 1
    assert "metrics-000001.jsonl is torn" in problems[0]
    with pytest.raises(MalformedFile, match=r"metrics-000001\.jsonl is torn"):
        experiment_metrics(str(experiment.root), "swarm")


def test_a_row_that_cannot_be_read_is_reported(experiment: FakeExperiment) -> None:
    spool = experiment.root / "spool"
    writer = SegmentWriter(experiment.opened, "node-0", "00000000", "metrics", spool=spool, start=1)
    writer.append(b'{"node":"node-0"}')
    writer.append(b"\xff\xfe")
    writer.close_segment()
    problems: list[str] = []
    assert len(experiment_metrics(str(experiment.root), "swarm", problems)) == 6
    assert [("row 3" in p, "row 4" in p) for p in problems] == [(True, False), (False, True)]


def test_time_adds_up_over_nodes_and_is_a_mean_over_rounds() -> None:
    rows = [metrics_row(node, number) for node in ("node-0", "node-1") for number in range(100)]
    found = time_breakdown(rows)
    assert (found.first, found.last, found.rounds) == (10, 60, 51)
    assert found.seconds["generate"] == pytest.approx(2.0)
    assert found.seconds["wait"] == pytest.approx(1.0)
    assert found.seconds["select"] == 0.0
    assert found.overhead == pytest.approx(0.4)


def test_a_run_that_is_shorter_than_the_window_is_counted_whole() -> None:
    found = time_breakdown([metrics_row("node-0", number) for number in range(3)])
    assert (found.first, found.last, found.rounds) == (0, 2, 3)
    found = time_breakdown([])
    assert (found.rounds, found.overhead, sum(found.seconds.values())) == (0, None, 0.0)


ROUNDS = (20, 2000)
NODES = ("node-0", "node-1")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two running experiments, of which all but the last round have closed."""
    root = tmp_path_factory.mktemp("root")
    for rounds in ROUNDS:
        config = load_config(overrides=["nodes=2", f"rounds={rounds}"])
        experiment = FakeExperiment(root, f"of-{rounds}", config)
        experiment.register(*NODES)
        for number in range(rounds - 1):
            experiment.close(number, dict.fromkeys(NODES, 0.5))
    return root


def test_status_asks_as_much_after_2000_rounds_as_after_20(root: Path) -> None:
    asked = []
    for rounds in ROUNDS:
        opened = open_experiment(str(root), f"of-{rounds}")
        counted = OpenExperiment(opened.address, Store(str(root)), opened.identity)
        status = read_now(counted).status()
        assert (status.state, status.round) == ("running", rounds - 1)
        operations = asdict(counted.store.operations)
        operations.pop("bytes_read")
        asked.append(operations)
    assert asked[0] == asked[1]
    assert sum(asked[0].values()) <= 20


def test_a_list_reads_three_files_of_each_experiment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stores: list[Store] = []

    def opened(path: str) -> Store:
        stores.append(open_root(path))
        return stores[-1]

    monkeypatch.setattr(listing, "open_root", opened)
    found = listing.list_experiments(str(root))
    assert [(s.name, s.round, s.rounds) for s in found] == [("of-20", 19, 20), ("of-2000", 1999, 2000)]
    (store,) = stores
    asked = asdict(store.operations)
    # The identity, the configuration and the newest record; the folder, the log and its last bucket.
    some = {kind: count for kind, count in asked.items() if count and kind != "bytes_read"}
    assert some == {"reads": 3 * 2, "lists": 1 + 2 * 2}


HEAVY = ("torch", "ray", "transformers", "matplotlib", "reasoning_gym", "scipy", "pandas", "pyarrow")
MODULES = ("experiments", "observe.status_tables", "observe.report", "observe.reference_results", "cli")


@pytest.mark.parametrize("module", MODULES)
def test_reading_needs_neither_torch_nor_ray(module: str) -> None:
    code = f"import sys, swarm_ray.{module}; print([m for m in {HEAVY} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
