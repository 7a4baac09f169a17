"""A node whose data fail is given up at once and named; the others go on, and nobody waits for it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from actors_for_tests import OneProcessSwarm
from swarm_for_tests import closed_stages, records_of, small_config, with_long_question_for

from actors.trainer import Trainer
from swarm_ray.errors import SwarmStateError
from swarm_ray.exchange.folder import FolderExchange
from swarm_ray.exchange.swarm_state import SwarmState
from swarm_ray.experiments import experiment_metrics, experiment_status


def poison(trainer: Trainer, name: str) -> None:
    """Make a node's weights useless."""
    (node,) = [n for n in trainer.nodes if n.id == name]
    with torch.no_grad():
        next(iter(node.policy.model.parameters())).fill_(math.nan)


def test_a_node_that_fails_in_the_middle(tmp_path: Path) -> None:
    config = with_long_question_for(small_config(nodes=3, pace__expect=3), "node-1", 1)
    with OneProcessSwarm(tmp_path / "My Drive", config, [["node-0"], ["node-1", "node-2"]]) as swarm:
        results = swarm.results()
        assert swarm.state() == "finished"
    assert results[0].problems == {}
    assert "context" in results[1].problems["node-1"]
    closed = closed_stages(swarm.root, "small")
    assert [sorted(c.rewards) for c in closed] == [
        ["node-0", "node-1", "node-2"],
        ["node-0", "node-2"],
        ["node-0", "node-2"],
    ]
    assert max(c.seconds for c in closed) < config.pace.max_s / 2
    status = {n.id: n for n in experiment_status(str(swarm.root), "small").nodes}
    assert "context" in str(status["node-1"].problem)
    assert (status["node-0"].problem, status["node-2"].problem) == (None, None)
    rows = experiment_metrics(str(swarm.root), "small")
    assert [r.round for r in rows if r.node == "node-1"] == [0]
    assert [r.round for r in rows if r.node == "node-2"] == [0, 1, 2]
    assert "context" in str(records_of(swarm.root, "small")[-1].tallies["node-1"].problem)


def test_a_node_that_fails_before_the_first_round(tmp_path: Path) -> None:
    config = small_config(nodes=3, pace__expect=3)
    swarm = OneProcessSwarm(tmp_path / "My Drive", config, [["node-0", "node-1"], ["node-2"]])
    for trainer, name in zip(swarm.trainers, ("node-1", "node-2"), strict=True):
        poison(trainer, name)
    with swarm:
        results = swarm.results()
        assert swarm.state() == "finished"
    assert [(r.rounds, sorted(r.problems)) for r in results] == [(3, ["node-1"]), (0, ["node-2"])]
    assert [sorted(c.rewards) for c in closed_stages(swarm.root, "small")] == [["node-0"]] * 3


def test_nodes_that_all_fail_end_their_trainer_and_say_so(tmp_path: Path) -> None:
    config = small_config(nodes=2, pace__expect=2)
    swarm = OneProcessSwarm(tmp_path / "My Drive", config, [["node-0", "node-1"]])
    for node in ("node-0", "node-1"):
        poison(swarm.trainers[0], node)
    with swarm:
        (result,) = swarm.results()
        assert sorted(result.problems) == ["node-0", "node-1"]
        assert result.rounds == 0
    assert records_of(swarm.root, "small")[-1].state == "stopped"
    for told in experiment_status(str(swarm.root), "small").nodes:
        assert "finite" in str(told.problem)


def test_a_worker_whose_node_is_another_workers_is_told_at_the_end(tmp_path: Path) -> None:
    config = small_config(nodes=2, pace__expect=2)
    with OneProcessSwarm(tmp_path / "My Drive", config, [["node-0", "node-1"]]) as swarm:
        wait_for(lambda: swarm.coordinator.get_round_and_stage()[0] >= 0)
        late = swarm.other_worker(["node-1"]).run()
        assert [r.problems for r in swarm.results()] == [{}]
        assert swarm.state() == "finished"
    assert late.rounds == 0
    assert "took part in no round" in late.problems["node-1"]
    assert [sorted(c.rewards) for c in closed_stages(swarm.root, "small")] == [["node-0", "node-1"]] * 3
    assert records_of(swarm.root, "small")[-1].tallies["node-1"].problem is None


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_trainers_give_up_on_a_coordinator_that_falls_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_closed = SwarmState.wait_closed
    monkeypatch.setattr(
        FolderExchange,
        "wait_closed",
        lambda self, number: wait_closed(self._state, number, within_s=0.5),
    )
    swarm = OneProcessSwarm(tmp_path / "My Drive", small_config(pace__expect=2), [["node-0", "node-1"]])
    monkeypatch.setattr(swarm.coordinator, "_close", lambda *_: None)
    with swarm, pytest.raises(SwarmStateError, match="coordinator alive"):
        swarm.results()
