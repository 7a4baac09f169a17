"""A trainer that ends in the middle of anything, and the one that comes after it."""

import shutil
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from actors_for_tests import Killed, OneProcessSwarm, kill_at, release, until, write_nothing_more
from swarm_for_tests import closed_stages, records_of, small_config

import actors.trainer.trainer
from actors.trainer.trainer import Trainer
from swarm_ray.config.load import config_hash, extend_config
from swarm_ray.experiments import experiment_metrics, experiment_status
from swarm_ray.experiments.folder import local_folder
from swarm_ray.experiments.open import open_or_create
from swarm_ray.records.metrics import StepMetrics

ROUNDS = 6
NODES = ("node-0", "node-1", "node-2")
CONFIG = small_config(nodes=3, rounds=ROUNDS, pace__expect=3, checkpoint__every=2)


class DeviceLost(RuntimeError):
    """Ends a trainer as an error of its device does."""


def fail(*_arguments: Any) -> Any:
    raise DeviceLost


def learned(rows: list[StepMetrics]) -> dict[tuple[str, int], tuple[Any, ...]]:
    """What a run did, row by row, without its times."""
    return {
        (r.node, r.step): (r.round, r.reward, r.reward_mixed, r.loss, r.grad_norm, r.entropy, r.external)
        for r in rows
    }


def weights(trainers: list[Trainer]) -> dict[str, dict[str, torch.Tensor]]:
    return {n.id: n.policy.model.state_dict() for t in trainers for n in t.nodes}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> OneProcessSwarm:
    """The run that was never killed."""
    root = tmp_path_factory.mktemp("whole") / "My Drive"
    with OneProcessSwarm(root, CONFIG, [NODES[:1], NODES[1:]], "whole") as swarm:
        swarm.finish()
    return swarm


@pytest.mark.parametrize(
    ("where", "count"), [("generate", 4), ("publish", 7), ("wait_closed", 3), ("gather", 5), ("update", 4)]
)
def test_a_killed_run_equals_a_whole(tmp_path: Path, whole: OneProcessSwarm, where: str, count: int) -> None:
    swarm = OneProcessSwarm(tmp_path / "cut" / "My Drive", CONFIG, [NODES[:1], NODES[1:]], "cut")
    trainer = swarm.trainers[1]
    owner: Any = trainer._exchange if hasattr(trainer._exchange, where) else trainer.nodes[0].policy
    kill_at(trainer, owner, where, count)
    with swarm:
        with pytest.raises(Killed):
            swarm.results()
        release(trainer)
        again = swarm.restart(1)
        assert again.rounds > 0
        assert swarm.state() == "finished"
    closed = closed_stages(swarm.root, "cut")
    assert [c.round for c in closed] == list(range(ROUNDS))
    assert all(len(c.accepted) == 3 for c in closed)
    rows = experiment_metrics(str(swarm.root), "cut")
    assert len(rows) == ROUNDS * 3
    assert learned(rows) == learned(experiment_metrics(str(whole.root), "whole"))
    one, other = weights(whole.trainers), weights(swarm.trainers)
    assert all(torch.equal(one[n][k], other[n][k]) for n in one for k in one[n])


@pytest.mark.parametrize("number", [2, ROUNDS - 1])
def test_a_round_that_closes_while_its_trainer_resumes_is_learned_from(
    tmp_path: Path, whole: OneProcessSwarm, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """It is open when the trainer catches up, and past when the trainer looks for a round to take part in."""
    swarm = OneProcessSwarm(tmp_path / "cut" / "My Drive", CONFIG, [NODES[:1], NODES[1:]], "cut")
    trainer = swarm.trainers[1]
    publish, caught_up = trainer._exchange.publish, actors.trainer.trainer.catch_up
    tick, held = swarm.coordinator.tick, Event()

    def while_the_coordinator_rests(node: Any, moment: int, *rest: Any) -> None:
        if (node.id, moment) == ("node-2", number):
            held.set()
        publish(node, moment, *rest)

    def while_the_round_closes(*arguments: Any) -> int:
        rounds = caught_up(*arguments)
        held.clear()
        until(lambda: len(closed_stages(swarm.root, "cut")) > number)
        return rounds

    swarm.coordinator.tick = lambda now: not held.is_set() and tick(now)  # type: ignore[method-assign]
    trainer._exchange.publish = while_the_coordinator_rests  # type: ignore[method-assign]
    kill_at(trainer, trainer._exchange, "wait_closed", number + 1)
    with swarm:
        with pytest.raises(Killed):
            swarm._ends[1].result(60)
        release(trainer)
        monkeypatch.setattr(actors.trainer.trainer, "catch_up", while_the_round_closes)
        swarm.restart(1)
        assert swarm.state() == "finished"
    assert learned(experiment_metrics(str(swarm.root), "cut")) == learned(
        experiment_metrics(str(whole.root), "whole")
    )


def test_a_run_is_extended_and_changed(tmp_path: Path) -> None:
    root = tmp_path / "My Drive"
    config = small_config(nodes=2, rounds=3, pace__expect=2)
    with OneProcessSwarm(root, config, [["node-0", "node-1"]]) as swarm:
        swarm.finish()
    longer = extend_config(config, ["rounds=6", "grpo.learning_rate=0.25"])
    opened = open_or_create(swarm.address, longer, overwrite=False)
    swarm.config = opened.config
    with swarm.again():
        swarm.finish()
    assert [c.round for c in closed_stages(root, "small")] == list(range(6))
    records = records_of(root, "small")
    assert {r.config_hash for r in records} == {"", config_hash(longer)}
    rows = experiment_metrics(str(root), "small")
    assert [r.step for r in rows if r.node == "node-0"] == list(range(6))
    totals = {n.id: n.cumulative_reward for n in experiment_status(str(root), "small").nodes}
    for node, total in totals.items():
        assert total == pytest.approx(sum(r.reward for r in rows if r.node == node))


def test_a_worker_heeds_a_change_while_it_runs(tmp_path: Path) -> None:
    root = tmp_path / "My Drive"
    config = small_config(nodes=1, external=0, rounds=400, pace__beat_s=0.2)
    swarm = OneProcessSwarm(root, config, [["node-0"]])
    (node,) = swarm.trainers[0].nodes
    with swarm:
        until(lambda: node.step >= 2)
        swarm.kill_coordinator()
        changed = extend_config(config, ["grpo.learning_rate=0.5", f"rounds={node.step + 10}"])
        swarm.config = open_or_create(swarm.address, changed, overwrite=False).config
        swarm.succeed_coordinator()
        swarm.finish()
    assert {group["lr"] for group in node.policy.optimizer.param_groups} == {0.5}


def test_a_machine_that_vanished_costs_what_was_not_uploaded(tmp_path: Path) -> None:
    """Another machine resumes from the folder alone: uploaded checkpoint, then updates from the state log."""
    root = tmp_path / "My Drive"
    often = {"checkpoint__every": 3, "checkpoint__store_every_s": 0}
    config = small_config(nodes=2, rounds=8, pace__expect=2, pace__dead_after_s=5, **often)
    swarm = OneProcessSwarm(root, config, [["node-0"], ["node-1"]])
    with swarm:
        (node,) = swarm.trainers[1].nodes
        until(lambda: node.step >= 5 and bool(list(root.rglob("checkpoints/node-1.*/step_*/manifest.json"))))
        write_nothing_more(swarm.trainers[1])
        swarm.trainers[1].stop()
        swarm._ends[1].result(60)
        release(swarm.trainers[1])
        shutil.rmtree(local_folder(swarm.address) / "nodes" / "node-1")
        shutil.rmtree(local_folder(swarm.address) / "checkpoints" / "node-1")
        swarm.restart(1)
        swarm.finish()
    (said,) = [n.recovered for n in experiment_status(str(root), "small").nodes if n.id == "node-1"]
    assert "from the folder" in said
    assert "taken again from the state log" in said or "adopted" in said
    rows = experiment_metrics(str(root), "small")
    assert [r.step for r in rows if r.node == "node-1"] == list(range(8))


def test_weights_alone_are_taken_where_that_is_asked(tmp_path: Path) -> None:
    root = tmp_path / "My Drive"
    config = small_config(nodes=1, external=0, rounds=3)
    with OneProcessSwarm(root, config, [["node-0"]]) as swarm:
        swarm.finish()
    learned_so_far = weights(swarm.trainers)
    swarm.config = extend_config(config, ["rounds=5", "resume=weights"])
    open_or_create(swarm.address, swarm.config, overwrite=False)
    swarm.again()
    (node,) = swarm.trainers[0].nodes
    assert node.policy.optimizer.state_dict()["state"] == {}
    assert node.totals.reward == 0
    taken = weights(swarm.trainers)["node-0"]
    assert all(torch.equal(taken[k], learned_so_far["node-0"][k]) for k in taken)
    with swarm:
        swarm.finish()
    (status,) = experiment_status(str(root), "small").nodes
    assert "as asked" in status.recovered
    assert [r.step for r in experiment_metrics(str(root), "small")] == list(range(5))


@pytest.mark.parametrize("ending", ["stopped", "failed"])
def test_a_step_of_a_round_that_ended_in_its_middle_is_logged(ending: str, tmp_path: Path) -> None:
    """Its checkpoint has that step, so that nobody would ever log it again."""
    config = small_config(nodes=2, rounds=50, checkpoint__every=2, evaluation__questions=0, pace__expect=2)
    with OneProcessSwarm(tmp_path / "My Drive", config, [NODES[:2]], "cut") as swarm:
        (trainer,) = swarm.trainers
        policy = trainer.nodes[0].policy
        update = policy.update

        def ending_after(*arguments: Any) -> Any:
            learned = update(*arguments)
            if trainer.nodes[0].step == 2 and ending == "stopped":
                trainer.stop()
            elif trainer.nodes[0].step == 2:
                trainer.nodes[1].policy.update = fail  # type: ignore[method-assign]
            return learned

        policy.update = ending_after  # type: ignore[method-assign]
        if ending == "stopped":
            assert swarm.results()[0].stopped
        else:
            with pytest.raises(DeviceLost):
                swarm.results()
            swarm.logger.flush()
    assert [node.step for node in trainer.nodes] == [3, 2]
    rows = experiment_metrics(str(swarm.root), "cut")
    steps = [[row.step for row in rows if row.node == node] for node in NODES[:2]]
    assert steps == [[0, 1, 2], [0, 1]]
    assert all(row.seconds and not row.replayed for row in rows)
