"""A step that an earlier process made: a trainer that dies while it takes steps again is succeeded all the same."""

import shutil
from pathlib import Path

import msgspec
import pytest
from actors_for_tests import Killed, OneProcessSwarm, kill_at, release, until
from folder_for_tests import opens
from swarm_for_tests import closed_stages, small_config

from actors.trainer.checkpoints import _is_gone
from actors.trainer.trainer import Trainer
from drive_store import ExperimentPaths, ExperimentStore, Store
from swarm_ray.config.schema import PaceConfig
from swarm_ray.exchange.replay import PublishedStep
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.experiments import experiment_metrics, experiment_status
from swarm_ray.experiments.folder import local_folder
from swarm_ray.machine.cancellation import Cancellation
from swarm_ray.records.nodes import NodeTotals
from swarm_ray.records.rollouts import RoundFile
from swarm_ray.records.state import NodeTally, StateRecord
from swarm_ray.sapo.node import Node

ROUNDS = 8
KEPT_STEP = 2
COMMON = {"rounds": ROUNDS, "pace__expect": 2, "pace__dead_after_s": 60, "evaluation__questions": 0}
CONFIG = small_config(checkpoint__every=1, checkpoint__keep=ROUNDS, **COMMON)
WITHOUT_CHECKPOINTS = small_config(checkpoint__every=1000, **COMMON)


def kill_policy_at(trainer: Trainer, method: str, count: int) -> None:
    """Die at the `count`-th call of a method of the policy, once the checkpoints so far are on the disk."""
    writer = trainer._checkpoints._checkpointer._thread
    kill_at(trainer, trainer.nodes[0].policy, method, count, lambda: until(lambda: writer.idle))


def steps_on_disk(swarm: OneProcessSwarm) -> dict[int, Path]:
    folder = local_folder(swarm.address) / "checkpoints" / "node-1"
    return {int(path.name.removeprefix("step_")): path for path in folder.iterdir()}


def test_a_checkpoint_of_a_step_that_was_taken_again_knows_what_comes_after_it(tmp_path: Path) -> None:
    swarm = OneProcessSwarm(tmp_path / "My Drive", CONFIG, [["node-0"], ["node-1"]], "twice")
    kill_policy_at(swarm.trainers[1], "generate", 7)
    with swarm:
        with pytest.raises(Killed):
            swarm._ends[1].result(60)
        release(swarm.trainers[1])
        for step, path in steps_on_disk(swarm).items():
            if step > KEPT_STEP:
                shutil.rmtree(path)
        nodes = swarm.trainers[1]._settings.nodes
        second = swarm.trainers[1] = swarm.trainer(swarm.address, nodes, swarm._reporter)
        kill_policy_at(second, "update", 2)
        with pytest.raises(Killed):
            second.run()
        assert max(steps_on_disk(swarm)) == KEPT_STEP + 1  # taken while steps were taken again
        release(second)
        swarm.restart(1)
        assert swarm.state() == "finished"
    assert [stage.round for stage in closed_stages(swarm.root, "twice")] == list(range(ROUNDS))
    assert all(len(stage.accepted) == 2 for stage in closed_stages(swarm.root, "twice"))
    steps = [row.step for row in experiment_metrics(str(swarm.root), "twice") if row.node == "node-1"]
    assert steps == list(range(ROUNDS))
    (said,) = [n.recovered for n in experiment_status(str(swarm.root), "twice").nodes if n.id == "node-1"]
    assert "3 update(s) taken again" in said
    assert said.endswith("nothing lost")


@pytest.mark.parametrize(
    ("hosted", "disk_lost"),
    [([["node-0"], ["node-1"]], False), ([["node-0", "node-1"]], False), ([["node-0"], ["node-1"]], True)],
)
def test_the_whole_log_is_learned_again(tmp_path: Path, hosted: list[list[str]], *, disk_lost: bool) -> None:
    """Without any checkpoint, and by another machine where the disk is lost: all files are in the folder."""
    swarm = OneProcessSwarm(tmp_path / "My Drive", WITHOUT_CHECKPOINTS, hosted)
    said = recovered(swarm, 5, disk_lost=disk_lost)
    assert "4 update(s) taken again from the state log" in said
    if not disk_lost:
        assert "no whole checkpoint" in said
        assert "nothing lost" in said
        assert all(len(c.accepted) == 2 and c.seconds < 10 for c in closed_stages(swarm.root, "small"))
    rows = experiment_metrics(str(swarm.root), "small")
    steps = [sorted(row.step for row in rows if row.node == node) for node in ("node-0", "node-1")]
    assert steps == [list(range(ROUNDS))] * 2


def recovered(swarm: OneProcessSwarm, generation: int, *, disk_lost: bool = False) -> str:
    """Kill the last trainer at a generation, start it again, and run to the end; what node-1 says it recovered."""
    kill_policy_at(swarm.trainers[-1], "generate", generation)
    with swarm:
        with pytest.raises(Killed):
            swarm.results()
        release(swarm.trainers[-1])
        if disk_lost:
            shutil.rmtree(local_folder(swarm.address) / "nodes" / "node-1")
        swarm.restart(len(swarm.trainers) - 1)
        assert swarm.state() == "finished"
    (said,) = [n.recovered for n in experiment_status(str(swarm.root), "small").nodes if n.id == "node-1"]
    assert said is not None
    return said


def test_what_peers_no_longer_keep_is_missed_and_said(tmp_path: Path) -> None:
    config = small_config(checkpoint__every=1000, pace__settle_s=0.2, retention__rounds=1, **COMMON)
    swarm = OneProcessSwarm(tmp_path / "My Drive", config, [["node-0"], ["node-1"]])
    said = recovered(swarm, 6)
    assert "5 update(s) taken again" in said
    assert "file(s) of peers were missing" in said
    assert "nothing lost" not in said


MADE = PublishedStep(round=7, step=7, file=RoundFile(7, (), 0.0, 0, 0), attachment=b"")
NODE = Node("n1", "0123abcd", None)  # type: ignore[arg-type]
"""Without a policy, which nobody asks for here."""
RECORD = StateRecord("running", 20, None, None, {})


@pytest.fixture
def state(tmp_path: Path) -> StateFollower:
    experiment = ExperimentStore(Store(str(tmp_path)), ExperimentPaths("tea"))
    return StateFollower(experiment, PaceConfig(), Cancellation())


def test_a_step_that_was_never_made_is_gone_and_another_may_count(state: StateFollower) -> None:
    assert _is_gone(None, NODE, state)
    assert not _is_gone(MADE, NODE, state)
    state.latest = msgspec.structs.replace(RECORD, state="paused")
    assert not _is_gone(MADE, NODE, state)


@pytest.mark.parametrize(("number", "gone"), [(6, False), (7, False), (8, True)])
def test_a_step_is_gone_when_a_later_round_is_open(state: StateFollower, number: int, gone: bool) -> None:
    state.latest = msgspec.structs.replace(RECORD, opens=opens(number))
    assert _is_gone(MADE, NODE, state) is gone


@pytest.mark.parametrize(("counted", "gone"), [(6, False), (7, True), (9, True)])
def test_a_step_is_gone_when_its_round_was_counted(state: StateFollower, counted: int, gone: bool) -> None:
    tallies = {"n1": NodeTally(counted, counted, 0.0, NodeTotals()), "n2": NodeTally(9, 9, 0.0, NodeTotals())}
    state.latest = msgspec.structs.replace(RECORD, tallies=tallies)
    assert _is_gone(MADE, NODE, state) is gone
