"""The numbers of a picture, and the picture."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from experiments_for_tests import FakeExperiment, finished

from swarm_ray.config.load import load_config
from swarm_ray.errors import ExperimentNotFoundError, UserError
from swarm_ray.experiments import ClosedStage
from swarm_ray.observe.report import reward_figure
from swarm_ray.observe.report.curves import curves_of, moving_average

PNG = b"\x89PNG\r\n\x1a\n"


def stage(number: int, rewards: dict[str, float], turn: int = 0) -> ClosedStage:
    return ClosedStage(number, turn, rewards, {}, len(rewards), (), (), (), (), (), 1.0)


def pixels(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data.startswith(PNG)
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def test_a_moving_average_is_centred_shorter_at_the_ends_and_leaves_out_what_is_not_there() -> None:
    assert moving_average([0.0, 3.0, 6.0, 9.0], 3) == [1.5, 3.0, 6.0, 7.5]
    assert moving_average([], 5) == []
    assert moving_average([1.0, None, 3.0], 3) == [1.0, 2.0, 3.0]
    assert moving_average([None, None, 3.0], 1) == [None, None, 3.0]


def test_curves_are_those_worked_out_by_hand() -> None:
    rewards: list[dict[str, float]] = [{"a": 0.0, "b": 1.0}, {"a": 0.5}, {}, {"a": 1.0, "b": 0.0}]
    curves = curves_of([stage(number, one) for number, one in enumerate(rewards)])
    assert (curves.rounds, curves.window) == ([0, 1, 2, 3], 1)
    assert curves.raw == curves.smooth == [0.5, 0.5, None, 0.5]
    assert curves.lowest == [0.0, 0.5, None, 0.0]
    assert curves.highest == [1.0, 0.5, None, 1.0]
    assert curves.cumulative == [1.0, 1.5, 1.5, 2.5]


def test_the_band_is_that_of_the_smoothed_nodes() -> None:
    stages = [stage(n, {"a": float(n % 2), "b": 0.25}) for n in range(8)]
    curves = curves_of(stages, window=4)
    assert curves.lowest[2:6] == [0.25] * 4
    assert curves.highest[2:6] == [0.5] * 4


def test_the_window_is_a_tenth_of_the_rounds_and_100_at_most() -> None:
    assert curves_of([stage(n, {"a": 0.0}) for n in range(50)]).window == 5
    assert curves_of([stage(n, {"a": 0.0}) for n in range(1500)]).window == 100
    assert curves_of([]).window == 1


def test_stages_of_one_round_count_together() -> None:
    curves = curves_of([stage(0, {"a": 0.25}), stage(0, {"a": 0.75}, turn=1)])
    assert (curves.rounds, curves.raw, curves.cumulative) == ([0], [0.5], [1.0])


def test_there_is_a_picture_of_two_experiments_and_of_the_shortest(tmp_path: Path) -> None:
    finished(tmp_path, "shared", load_config(overrides=["nodes=2", "rounds=30"]))
    finished(tmp_path, "alone", load_config(overrides=["nodes=2", "rounds=20", "local=8", "external=0"]))
    experiment = FakeExperiment(tmp_path, "short", load_config(overrides=["nodes=2", "rounds=3"]))
    path = tmp_path / "reward.png"
    for names in (["shared", "alone"], ["short"]):
        assert reward_figure(str(tmp_path), names, path) == path
        assert pixels(path) == (1200, 500)
    experiment.close(0, {"node-0": 0.0, "node-1": 0.0})
    assert pixels(reward_figure(str(tmp_path), ["short"], path)) == (1200, 500)


def test_a_picture_that_cannot_be_written_is_the_users_mistake(tmp_path: Path) -> None:
    finished(tmp_path, "swarm", load_config(overrides=["nodes=2", "rounds=1"]))
    with pytest.raises(UserError, match="could not be written"):
        reward_figure(str(tmp_path), ["swarm"], tmp_path / "nowhere" / "reward.png")
    with pytest.raises(UserError, match="no picture of this kind"):
        reward_figure(str(tmp_path), ["swarm"], tmp_path / "reward.txt")
    with pytest.raises(ExperimentNotFoundError):
        reward_figure(str(tmp_path), ["swarms"], tmp_path / "reward.png")
