"""Rows of metrics, torn segments, and where the time went."""

from __future__ import annotations

from pathlib import Path

import pytest
from experiments_for_tests import FakeExperiment, finished, metrics_row

from drive_store import ExperimentStore, SegmentWriter
from swarm_ray.config.load import load_config
from swarm_ray.errors import MalformedFile
from swarm_ray.experiments import experiment_metrics, time_breakdown


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
    writer = SegmentWriter(
        ExperimentStore(experiment.store, experiment.paths),
        "node-0",
        "00000000",
        "metrics",
        spool=experiment.root / "spool",
        start=1,
    )
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


def test_no_rows_have_no_time() -> None:
    found = time_breakdown([])
    assert (found.rounds, found.overhead, sum(found.seconds.values())) == (0, None, 0.0)
