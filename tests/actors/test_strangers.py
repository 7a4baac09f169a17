"""T4: whatever a peer publishes, it is skipped, counted and shown, and training continues."""

import math
from pathlib import Path

import pytest
from actors_for_tests import OneProcessSwarm
from strangers_for_tests import Stranger
from swarm_for_tests import closed_stages, records_of, small_config

from swarm_ray.experiments import experiment_history, experiment_metrics, experiment_status
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.state import StageClosed

ACTS = [
    "other-sizes",
    "garbage",
    "junk",
    "other-experiment",
    "bomb",
    "lying-bomb",
    "nan",
    "endless-counts",
    "other-text",
    "other-specialty",
    "odd-text",
    "torn",
]
REFUSED_BY_COORDINATOR = {
    "garbage": "Corrupt",
    "junk": "not a round file",
    "other-experiment": "experiment 'other'",
    "bomb": "bytes, and",
    "lying-bomb": "Corrupt",
    "nan": "between 0 and 1",
    "endless-counts": "count",
}
REFUSED_BY_RECEIVERS = {"other-text": "other text", "other-specialty": "unknown specialty"}
HONEST = ["node-0", "node-1"]


class Visited:
    """A swarm of two honest nodes and a stranger, after its end."""

    def __init__(self, root: Path) -> None:
        config = small_config(
            rounds=len(ACTS), pace__expect=3, pace__max_s=6, pace__drain_s=10, external=4, completions=8
        )
        with OneProcessSwarm(root, config, [[node] for node in HONEST]) as swarm:
            Stranger(swarm.address, config).take_part(ACTS)
            self.results = swarm.results()
            self.state = swarm.state()
        self.root = str(root)
        self.closed: dict[str, StageClosed] = dict(zip(ACTS, closed_stages(root, "small"), strict=True))
        self.rows: dict[str, list[StepMetrics]] = {act: [] for act in ACTS}
        for row in experiment_metrics(str(root), "small"):
            self.rows[ACTS[row.round]].append(row)


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Visited:
    return Visited(tmp_path_factory.mktemp("visited") / "My Drive")


def test_training_goes_on_to_the_end(visited: Visited) -> None:
    assert visited.state == "finished"
    assert [(r.rounds, r.problems, r.stopped) for r in visited.results] == [(len(ACTS), {}, "")] * 2
    for rows in visited.rows.values():
        assert [row.node for row in rows] == HONEST
        for row in rows:
            assert row.loss is None or math.isfinite(row.loss)
    assert sum(row.trained for rows in visited.rows.values() for row in rows) > len(ACTS)


@pytest.mark.parametrize("act", REFUSED_BY_COORDINATOR)
def test_a_file_that_is_none_is_rejected_with_its_reason(visited: Visited, act: str) -> None:
    closed = visited.closed[act]
    assert [r.node for r in closed.rejected] == ["stranger-1"]
    assert REFUSED_BY_COORDINATOR[act] in closed.rejected[0].reason
    assert sorted(closed.rewards) == HONEST
    for row in visited.rows[act]:
        assert row.counters.rejected == {closed.rejected[0].reason: 1}
        assert "stranger-1" not in row.counters.used_from


@pytest.mark.parametrize("act", REFUSED_BY_RECEIVERS)
def test_a_rollout_whose_question_is_none_is_rejected_by_every_receiver(visited: Visited, act: str) -> None:
    assert visited.closed[act].rejected == ()
    for row in visited.rows[act]:
        assert row.counters.rejected == {REFUSED_BY_RECEIVERS[act]: 1}
        assert "stranger-1" not in row.counters.used_from


def test_a_file_that_is_torn_for_ever_is_missing(visited: Visited) -> None:
    closed = visited.closed["torn"]
    assert closed.missing == ("stranger-1",)
    assert sorted(closed.rewards) == HONEST


def test_another_number_of_completions_is_welcome(visited: Visited) -> None:
    """T5."""
    closed = visited.closed["other-sizes"]
    assert "stranger-1" in closed.rewards
    for row in visited.rows["other-sizes"]:
        assert row.counters.rejected == {}
        assert row.counters.offered == 4
        assert row.counters.used == 4 - row.counters.zero_advantage_external
        assert row.counters.used_from["stranger-1"] == 2


def test_odd_text_is_trained_on_like_any_other(visited: Visited) -> None:
    for row in visited.rows["odd-text"]:
        assert row.counters.used_from["stranger-1"] == 1
        assert row.trained


def test_what_was_rejected_is_counted_and_shown(visited: Visited) -> None:
    refusals = len(REFUSED_BY_COORDINATOR) + len(REFUSED_BY_RECEIVERS)
    status = {n.id: n for n in experiment_status(visited.root, "small").nodes}
    last = records_of(visited.root, "small")[-1].tallies
    for node in HONEST:
        assert status[node].external_rejected == last[node].totals.rejected == refusals
        assert status[node].problem is None
    shown = [r.reason for stage in experiment_history(visited.root, "small") for r in stage.rejected]
    assert len(shown) == len(REFUSED_BY_COORDINATOR)


def test_what_a_stranger_claims_of_itself_changes_nobody_elses_figures(visited: Visited) -> None:
    status = {n.id: n for n in experiment_status(visited.root, "small").nodes}
    for node in HONEST:
        rewards = [c.rewards[node] for c in visited.closed.values()]
        assert status[node].cumulative_reward == sum(rewards)
    assert status["stranger-1"].cumulative_reward <= len(ACTS)
