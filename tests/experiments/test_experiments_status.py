"""Where an experiment stands, from its newest record and the beats."""

from pathlib import Path

import msgspec
import pytest
from experiments_for_tests import FakeExperiment, finished, incarnation_of, totals_after

from swarm_ray.config.load import load_config
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import ExperimentNotFoundError, UserError
from swarm_ray.experiments import NodeStatus, experiment_status
from swarm_ray.records.nodes import Beat, NodeTotals


@pytest.fixture
def config() -> SwarmConfig:
    return load_config(overrides=["nodes=2", "rounds=4"])


@pytest.fixture
def running(tmp_path: Path, config: SwarmConfig) -> FakeExperiment:
    """Two rounds of four have closed, and the third is open."""
    experiment = FakeExperiment(tmp_path, "swarm", config)
    experiment.register("node-0", "node-1")
    experiment.append("waiting", tallies={})
    experiment.append("running", opens=experiment.opens(0, ["node-0", "node-1"]))
    experiment.close(0, {"node-0": 0.25, "node-1": 0.5})
    experiment.close(1, {"node-0": 0.75, "node-1": 0.5})
    return experiment


def node_of(experiment: FakeExperiment, node: str) -> NodeStatus:
    status = experiment_status(str(experiment.root), experiment.name)
    return next(n for n in status.nodes if n.id == node)


def test_a_running_experiment_is_told_as_its_newest_record_has_it(running: FakeExperiment) -> None:
    status = experiment_status(str(running.root), "swarm")
    assert (status.experiment, status.epoch, status.round, status.rounds) == ("swarm", 1, 2, 4)
    assert (status.state, status.note, status.learned_nothing) == ("running", "", False)
    assert [n.id for n in status.nodes] == ["node-0", "node-1"]
    node = status.nodes[0]
    assert (node.round, node.step, node.reward, node.cumulative_reward) == (1, 1, 0.75, 1.0)
    assert (node.external_offered, node.external_used, node.external_rejected) == (20, 8, 2)
    assert (node.generated_tokens, node.problem) == (200, None)
    assert (node.pass_at_1_start, node.pass_at_1_end) == (None, None)


def test_the_json_has_the_promised_keys(running: FakeExperiment) -> None:
    status = msgspec.to_builtins(experiment_status(str(running.root), "swarm"))
    top = "experiment epoch round rounds state note learned_nothing nodes coordinator"
    assert list(status) == top.split()
    assert list(status["coordinator"]) == ["claimant", "last_seen_s", "alive", "problem"]
    keys = (
        "id round step last_seen_s reward external_offered external_used external_rejected unanswered alone "
    )
    keys += "recovered problem pass_at_1_start pass_at_1_end cumulative_reward generated_tokens peer_id animal reached"
    assert list(status["nodes"][0]) == keys.split()


def test_the_newer_sums_count_and_a_node_that_is_done_has_the_last_word(running: FakeExperiment) -> None:
    running.beat("node-0", Beat(3, 0, 1, "training", totals_after([0.25], start=0.125)))
    node = node_of(running, "node-0")  # behind its tally: it adds pass@1 alone
    assert (node.round, node.step, node.cumulative_reward, node.pass_at_1_start) == (1, 1, 1.0, 0.125)
    running.beat("node-0", Beat(7, 2, 2, "training", NodeTotals(2.0, 30, 12, 3, 300, 0.125, None)))
    node = node_of(running, "node-0")
    assert (node.round, node.step, node.cumulative_reward, node.external_used) == (2, 2, 2.0, 12)
    assert (node.pass_at_1_start, node.reward) == (0.125, 0.75)
    final = msgspec.structs.replace(totals_after([0.25, 0.75], start=0.1, end=0.6), used=99)
    running.beat("node-1", Beat(9, -1, 0, "done", final, done=True))
    assert (node_of(running, "node-1").external_used, node_of(running, "node-1").pass_at_1_end) == (99, 0.6)


def test_a_swarm_that_drains_is_shown_as_running(tmp_path: Path) -> None:
    config = load_config(overrides=["nodes=1", "external=0", "rounds=1"])
    experiment = FakeExperiment(tmp_path, "swarm", config)
    experiment.register("node-0")
    experiment.close(0, {"node-0": 0.5})
    status = experiment_status(str(tmp_path), "swarm")
    assert (status.state, status.round) == ("running", 0)
    experiment.finish(note="no final heartbeat from node-7", learned_nothing=True)
    status = experiment_status(str(tmp_path), "swarm")
    assert (status.state, status.round, status.learned_nothing) == ("finished", 0, True)
    assert (status.note, status.nodes[0].pass_at_1_end) == ("no final heartbeat from node-7", 0.5)


def test_an_experiment_without_a_record_waits(tmp_path: Path, config: SwarmConfig) -> None:
    experiment = FakeExperiment(tmp_path, "swarm", config)
    experiment.register("node-0")
    status = experiment_status(str(tmp_path), "swarm")
    assert (status.state, status.epoch, status.round, status.rounds) == ("waiting", 0, -1, 4)
    assert (status.nodes[0].id, status.nodes[0].round, status.nodes[0].problem) == ("node-0", -1, None)
    assert status.nodes[0].last_seen_s is not None, "its registration is a sign of it"


def test_the_file_that_was_accepted_last_is_a_sign_of_life_too(running: FakeExperiment) -> None:
    running.beat("node-0", Beat(1, 1, 1, "training", NodeTotals()))
    running.age(1000.0)
    assert (node_of(running, "node-0").last_seen_s or 0) >= 1000.0
    key = running.paths.round_file("node-0", incarnation_of("node-0"), 1, 0, 0, "ab" * 32)
    running.store.make_folder(key.rpartition("/")[0])
    running.store.create(key, b"rollouts")
    assert (node_of(running, "node-0").last_seen_s or 0) < 1000.0


def test_a_swarm_of_which_nothing_is_heard_is_silent_and_still_running(running: FakeExperiment) -> None:
    running.beat("node-0", Beat(1, 1, 1, "training", NodeTotals()))
    running.beat("node-1", Beat(1, 1, 1, "training", NodeTotals(), done=True))
    assert node_of(running, "node-0").problem is None
    running.age(3600.0)
    assert "silent for 60 min" in str(node_of(running, "node-0").problem)
    assert node_of(running, "node-1").problem is None
    assert experiment_status(str(running.root), "swarm").state == "running"
    running.beat("node-1", Beat(1, 1, 1, "training", NodeTotals()))
    assert node_of(running, "node-0").problem is None, "one fresh sign keeps all from being called silent"


def test_an_ended_one_is_not_silent_and_a_late_node_took_no_part(tmp_path: Path, config: SwarmConfig) -> None:
    experiment = finished(tmp_path, "swarm", config)
    experiment.register("node-7")
    experiment.age(3600.0)
    problems = [n.problem for n in experiment_status(str(tmp_path), "swarm").nodes]
    assert problems == [None, None, "took no part"]


def test_problems_are_told_from_wherever_they_stand(running: FakeExperiment) -> None:
    running.beat("node-0", Beat(1, 1, 1, "training", NodeTotals(), problem="the loss is not finite"))
    assert node_of(running, "node-0").problem == "the loss is not finite"
    running.problems["node-0"] = "nothing heard of it"
    running.close(2, {"node-1": 0.5}, missing="node-0")
    assert node_of(running, "node-0").problem == "nothing heard of it"
    running.store.replace_copy(running.paths.beat("node-1", incarnation_of("node-1")), b"no beat\n" * 999)
    assert "its beat cannot be read" in str(node_of(running, "node-1").problem)
    running.store.replace_copy(running.paths.beat("node-1", incarnation_of("node-1")), b"")
    assert node_of(running, "node-1").problem is None, "it is being rewritten"


def test_a_node_with_another_configuration_is_shown_as_refused(running: FakeExperiment) -> None:
    running.register("node-5", hash_of_config="0123456789ab")
    assert "refused: its configuration is 0123456789ab" in str(node_of(running, "node-5").problem)


def test_the_incarnation_that_takes_part_is_the_one_that_is_told(running: FakeExperiment) -> None:
    stranger = msgspec.json.encode(Beat(1, 3, 3, "training", NodeTotals(77.0)))
    running.registry.write_beat("node-0", "ffffffff", 1, stranger)
    assert node_of(running, "node-0").cumulative_reward == 1.0


def test_without_a_name_the_only_one_or_the_one_under_way(tmp_path: Path, config: SwarmConfig) -> None:
    with pytest.raises(ExperimentNotFoundError, match="no experiment in"):
        experiment_status(str(tmp_path))
    finished(tmp_path, "first", config)
    assert experiment_status(str(tmp_path)).experiment == "first"
    finished(tmp_path, "second", config)
    with pytest.raises(UserError, match="all of them ended; name one: first, second"):
        experiment_status(str(tmp_path))
    FakeExperiment(tmp_path, "third", config).append("running")
    FakeExperiment(tmp_path, "fourth", config, created_at="2026-08-02T00:00:00+00:00").append("waiting")
    assert experiment_status(str(tmp_path)).experiment == "fourth"


def test_looking_changes_nothing_in_the_folder(running: FakeExperiment) -> None:
    before = {path: path.stat().st_mtime_ns for path in running.root.rglob("*")}
    experiment_status(str(running.root), "swarm")
    assert {path: path.stat().st_mtime_ns for path in running.root.rglob("*")} == before
