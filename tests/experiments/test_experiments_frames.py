"""Experiments as DataFrames: what the rows are, their columns, types and units."""

from pathlib import Path

import msgspec
import pandas as pd
import pytest
from experiments_for_tests import FakeExperiment, finished, metrics_row

import swarm_ray
from swarm_ray.config.load import load_config
from swarm_ray.errors import ExperimentNotFoundError, MalformedFile
from swarm_ray.experiments import compare_experiments
from swarm_ray.experiments.read import frames

CONFIG = load_config(overrides=["nodes=2", "rounds=4"])
NODES = ["node-0", "node-1"]


@pytest.fixture
def done(tmp_path: Path) -> FakeExperiment:
    return finished(tmp_path, "done", CONFIG)


@pytest.fixture
def fresh(tmp_path: Path) -> FakeExperiment:
    """One that was made and never began."""
    return FakeExperiment(tmp_path, "fresh", CONFIG, created_at="2026-08-02T00:00:00+00:00")


def test_metrics_have_a_row_for_each_step(done: FakeExperiment) -> None:
    frame = frames.metrics_frame(str(done.root), "done")
    assert list(frame.columns) == list(frames.STEPS)
    taken = [[number, node, number] for number in range(4) for node in NODES]
    assert frame[["round", "node", "step"]].to_numpy().tolist() == taken
    first = frame.iloc[0]
    assert (first["reward"], first["seconds"], first["generate_s"], first["sample_s"]) == (0.5, 3.0, 1.0, 0.0)
    assert frame["grad_norm"].isna().all()
    assert [frame[name].dtype for name in ("external", "loss", "alone")] == ["int64", "float64", "bool"]


def test_rounds_add_up_to_what_experiments_are_compared_by(done: FakeExperiment) -> None:
    frame = frames.rounds_frame(str(done.root), "done")
    assert (frame.index.name, list(frame.index)) == ("round", [0, 1, 2, 3])
    last = frame.iloc[-1]
    (figures,) = compare_experiments(str(done.root), ["done"])
    assert last["cumulative_reward"] == pytest.approx(figures.cumulative_reward)
    assert (last["elapsed_s"], last["seconds"], last["accepted"]) == (8.0, 2.0, 2)
    assert last["reward"] == pytest.approx(last["reward_sum"] / 2)
    assert last["reward_min"] <= last["reward"] <= last["reward_max"]
    assert list(frame["external"]) == [8, 8, 8, 8]


def test_rounds_of_which_no_log_is_written_yet_miss_what_nodes_log(tmp_path: Path) -> None:
    running = FakeExperiment(tmp_path, "running", CONFIG)
    running.register(*NODES)
    running.close(0, {"node-0": 0.25, "node-1": 0.75})
    running.close(1, {"node-0": 0.5}, missing="node-1")
    running.log_rows("node-0", [metrics_row("node-0", 0)])
    running.log_rows("node-1", [metrics_row("node-1", 0)])
    frame = frames.rounds_frame(str(tmp_path), "running")
    assert list(frame["external"].isna()) == [False, True]
    assert list(frame["missing"]) == [0, 1]
    assert list(frame["reward"]) == [0.5, 0.5]
    assert frame["external"].dtype == "Int64"


def test_steps_taken_alone_belong_to_no_round(done: FakeExperiment) -> None:
    alone = msgspec.structs.replace(metrics_row("node-0", 3), step=4, alone=True)
    done.log_rows("node-0", [alone], start=1)
    assert frames.metrics_frame(str(done.root), "done")["alone"].sum() == 1
    assert frames.rounds_frame(str(done.root), "done")["external"].iloc[-1] == 8


def test_nodes_and_specialties(done: FakeExperiment) -> None:
    nodes = frames.nodes_frame(str(done.root), "done")
    assert (nodes.index.name, list(nodes.index)) == ("node", NODES)
    assert list(nodes["pass_at_1_end"]) == [0.5, 0.5]
    assert (nodes["problem"] == "").all()
    specialties = frames.specialties_frame(str(done.root), "done")
    assert list(specialties.columns) == ["round", "node", "step", "specialty", "reward"]
    assert len(specialties) == 8
    assert specialties.pivot_table("reward", "round", "specialty").loc[3, "lcm"] == 0.5


def test_experiments_side_by_side(done: FakeExperiment, fresh: FakeExperiment) -> None:
    listed = frames.experiments_frame(str(done.root))
    assert list(listed.index) == ["done", "fresh"]
    assert list(listed["created_at"]) == list(pd.to_datetime(["2026-08-01T12:00Z", "2026-08-02T00:00Z"]))
    (fresh.root / fresh.paths.experiment_json).write_text("{")
    torn = frames.experiments_frame(str(done.root)).loc["fresh"]
    assert pd.isna(torn["local"])
    assert "not an experiment's identity" in torn["problem"]
    compared = frames.comparison_frame(str(done.root), ["done"])
    (figures,) = compare_experiments(str(done.root), ["done"])
    assert compared.reset_index().loc[0].to_dict() == msgspec.structs.asdict(figures)


def test_without_a_round_there_are_empty_frames(done: FakeExperiment, fresh: FakeExperiment) -> None:
    root = str(fresh.root)
    for make in (frames.metrics_frame, frames.rounds_frame, frames.nodes_frame, frames.specialties_frame):
        empty, full = make(root, "fresh"), make(root, "done")
        assert empty.empty
        assert list(empty.dtypes) == list(full.dtypes)
        assert list(empty.columns) == list(full.columns)


def test_the_known_name_has_steps_or_rounds(done: FakeExperiment) -> None:
    root = str(done.root)
    assert swarm_ray.get_experiment_metrics(root, "done").equals(frames.metrics_frame(root, "done"))
    assert swarm_ray.get_experiment_metrics(root, "done", per_round=True).equals(
        frames.rounds_frame(root, "done")
    )
    with pytest.raises(ExperimentNotFoundError, match="there are done"):
        swarm_ray.get_experiment_metrics(root, "dne")


def test_a_number_that_no_column_takes_is_one_line(done: FakeExperiment) -> None:
    done.log_rows("node-1", [msgspec.structs.replace(metrics_row("node-1", 4), local=1 << 70)], start=1)
    with pytest.raises(MalformedFile, match="a number that no column takes"):
        frames.metrics_frame(str(done.root), "done")


def test_csv_steers_neither_a_terminal_nor_a_spreadsheet(tmp_path: Path) -> None:
    experiment = FakeExperiment(tmp_path, "odd", CONFIG)
    experiment.register("node-0")
    experiment.problems["node-0"] = "=HYPERLINK(1)\x1b[2J\n"
    experiment.rewards["node-0"] = [0.5]
    experiment.append("running")
    text = str(frames.to_csv(frames.nodes_frame(str(tmp_path), "odd")))
    assert text.splitlines()[0].startswith("node,round,step,reward,")
    assert ",'=HYPERLINK(1) [2J" in text
    assert "\x1b" not in text
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize("before", ["\t", "\r", "\n", " ", "\t \r", "\u00a0", ""])
def test_blanks_before_a_formula_do_not_let_it_pass(before: str) -> None:
    text = frames.to_csv(pd.DataFrame({"problem": [f"{before}=1+1", f"{before}@SUM(A1)", "none"]}))
    first, second, last = str(text).splitlines()[1:]
    assert (first[0], first.lstrip("' "), second[0], last) == ("'", "=1+1", "'", "none")
