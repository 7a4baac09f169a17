"""A node whose data fail is given up at once and named; the others go on, and nobody waits for it."""

import math
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from actors_for_tests import OneProcessSwarm, until
from swarm_for_tests import closed_stages, records_of, small_config, with_long_question_for

from actors.trainer.trainer import Trainer
from swarm_ray.errors import NodeTakenError, Superseded
from swarm_ray.experiments import experiment_metrics, experiment_status
from swarm_ray.sapo.node import Node


def poison(trainer: Trainer, name: str) -> None:
    """Make a node's weights useless."""
    (node,) = [n for n in trainer.nodes if n.id == name]
    with torch.no_grad():
        next(iter(node.policy.model.parameters())).fill_(math.nan)


def test_a_node_that_fails_in_the_middle(tmp_path: Path) -> None:
    config = with_long_question_for(small_config(nodes=3, pace__expect=3), "node-1", 1)
    with OneProcessSwarm(tmp_path / "My Drive", config, [["node-0"], ["node-1", "node-2"]]) as swarm:
        results = swarm.finish()
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
        results = swarm.finish()
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


def test_a_node_of_this_machine_is_trained_by_one_process(tmp_path: Path) -> None:
    config = small_config(nodes=2, pace__expect=2)
    with OneProcessSwarm(tmp_path / "My Drive", config, [["node-0", "node-1"]]) as swarm:
        with pytest.raises(NodeTakenError, match=r"node node-1 .* another process of this machine"):
            swarm.other_worker(["node-1"])
        assert [r.problems for r in swarm.results()] == [{}]
        assert swarm.state() == "finished"


def test_who_was_thought_dead_and_wakes_up_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine has taken the node over, after a silence in which this process was stopped."""
    config = small_config(nodes=2, pace__expect=2, rounds=20)
    with OneProcessSwarm(tmp_path / "My Drive", config, [["node-0"], ["node-1"]]) as swarm:
        until(lambda: swarm.coordinator.get_round_and_stage()[0] >= 2)
        monkeypatch.setenv("SWARM_RAY_STATE", str(tmp_path / "another machine"))
        later = swarm.other_worker(["node-1"])
        monkeypatch.undo()
        result = later.run()
        with pytest.raises(Superseded, match="node node-1 continues as incarnation"):
            swarm.results()
        assert (result.problems, result.stopped) == ({}, "")
        assert swarm.state() == "finished"
    accepted = [(f.node, f.step) for c in closed_stages(swarm.root, "small") for f in c.accepted]
    assert len(accepted) == len(set(accepted))


def test_a_last_checkpoint_that_outlasts_dead_after_s_and_drain_s_fails_nobody(tmp_path: Path) -> None:
    config = small_config(nodes=1, external=0, pace__beat_s=0.1, pace__dead_after_s=2, pace__drain_s=2)
    swarm = OneProcessSwarm(tmp_path / "My Drive", config, [["node-0"]])
    checkpoints, progress = swarm.trainers[0]._checkpoints, set()
    close = checkpoints.close

    def slow(nodes: Sequence[Node], within_s: float) -> list[str]:
        deadline = time.monotonic() + 6
        while time.monotonic() < deadline:
            progress.update((b.phase, b.progress) for b in [v.beat for v in swarm.discovery._beats.values()])
            time.sleep(0.05)
        return close(nodes, within_s)

    checkpoints.close = slow  # type: ignore[method-assign]
    with swarm:
        assert [r.problems for r in swarm.results()] == [{}]
        assert swarm.state() == "finished"
    last = records_of(swarm.root, "small")[-1]
    assert (last.note, last.tallies["node-0"].problem) == ("", None)
    (node,) = experiment_status(str(swarm.root), "small").nodes
    assert node.problem is None
    assert len([count for phase, count in progress if phase == "checkpointing"]) > 2
