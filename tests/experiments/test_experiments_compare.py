"""History and the figures by which experiments are compared, against values worked out by hand."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from experiments_for_tests import FakeExperiment

from swarm_ray.config.load import load_config
from swarm_ray.errors import ExperimentNotFoundError, SwarmStateError
from swarm_ray.experiments import compare_experiments, experiment_history


def twenty_rounds(root: Path) -> FakeExperiment:
    """Node 0 earns 0.01 a round more each round, node 1 half of that and nothing counted in round 19."""
    config = load_config(overrides=["nodes=2", "rounds=20"])
    experiment = FakeExperiment(root, "swarm", config)
    experiment.register("node-0", "node-1")
    experiment.rewards = {"node-0": [], "node-1": []}
    for number in range(20):
        rewards = {"node-0": 0.01 * number, "node-1": 0.005 * number}
        if number == 19:
            del rewards["node-1"]
        experiment.close(number, rewards, seconds=1.5, missing="node-1" if number == 19 else "")
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


def test_the_json_has_the_promised_keys(tmp_path: Path) -> None:
    twenty_rounds(tmp_path)
    (found,) = compare_experiments(str(tmp_path), ["swarm"])
    assert list(msgspec.to_builtins(found)) == [
        "experiment",
        "nodes",
        "rounds",
        "local",
        "external",
        "completions",
        "cumulative_reward",
        "reward_first",
        "reward_last",
        "pass_at_1_start",
        "pass_at_1_end",
        "generated_tokens",
        "seconds",
        "external_used",
        "state",
        "learned_nothing",
    ]


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
