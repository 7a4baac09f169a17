"""A game's trainers: rounds that a coordinator opens, or a deadline ends; metrics, checkpoints and going on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from game_swarm_for_tests import GameSwarm, RgymFactory, game_config
from games_for_tests import moved, weights

from swarm_ray.experiments import experiment_metrics, experiment_status


def rows_of(root: Path) -> dict[tuple[str, int], Any]:
    """All rows of metrics, by node and round."""
    rows = experiment_metrics(str(root), "small")
    found = {(row.node, row.round): row for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.mark.parametrize("coordinated", [True, False])
def test_a_game_is_played_and_goes_on_where_it_stopped(
    tmp_path: Path, verifier: Any, *, coordinated: bool
) -> None:
    root, factory = tmp_path / "root", RgymFactory(verifier)
    swarm = GameSwarm(root, game_config(2), factory, coordinated=coordinated)
    begun = weights(factory.managers["node-0"].trainer)
    first = swarm.played()
    assert [(r.rounds, r.problems, r.stopped) for r in first] == [(2, {}, "")] * 2
    assert moved(begun, factory.managers["node-0"].trainer)
    kept = weights(factory.managers["node-0"].trainer)

    swarm.config = game_config(4)
    swarm.again()
    resumed = factory.managers["node-0"]
    assert not moved(kept, resumed.trainer)  # the checkpoint was given to the new trainer
    second = swarm.played()
    assert [(r.rounds, r.problems, r.stopped) for r in second] == [(2, {}, "")] * 2
    rows = rows_of(root)
    assert sorted(rows) == [(f"node-{i}", number) for i in range(2) for number in range(4)]
    assert [rows["node-0", number].step for number in range(4)] == [0, 1, 2, 3]
    assert sum(row.external for row in rows.values()) > 0
    assert {peer for (node, _), row in rows.items() for peer in row.counters.used_from} <= {
        "node-0",
        "node-1",
    }
    assert all(node not in row.counters.used_from for (node, _), row in rows.items())
    if coordinated:
        status = experiment_status(str(root), "small")
        assert status.state == "finished"
        assert status.round == 3


def test_the_questions_of_a_game_that_goes_on_are_those_of_one_that_never_stopped(
    tmp_path: Path, verifier: Any
) -> None:
    factory = RgymFactory(verifier)
    swarm = GameSwarm(tmp_path / "root", game_config(1), factory, coordinated=False)
    swarm.played()
    swarm.config = game_config(2)
    swarm.again()
    swarm.played()
    straight = RgymFactory(verifier)
    GameSwarm(tmp_path / "straight", game_config(2), straight, coordinated=False).played()
    positions = [f.managers["node-0"].data_manager._position for f in (factory, straight)]
    assert positions[0] == positions[1]


def test_a_failing_game_is_told_and_ends_its_node(tmp_path: Path, verifier: Any) -> None:
    factory = RgymFactory(verifier)
    swarm = GameSwarm(tmp_path / "root", game_config(3), factory, coordinated=False)

    def breaks(*_: Any) -> None:
        raise ValueError("no such thing as a step")

    factory.managers["node-0"].trainer.train = breaks
    results = swarm.played()
    assert "round 0, stage 1" in results[0].problems["node-0"]
    assert "no such thing as a step" in results[0].problems["node-0"]
    assert results[1].problems == {}
    assert results[1].rounds == 3
