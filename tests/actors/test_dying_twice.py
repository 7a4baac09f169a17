"""A trainer that dies again while it still takes steps again: the next one finds what the second left undone."""

import shutil
from pathlib import Path

import pytest
from actors_for_tests import Killed, OneProcessSwarm, kill_at, release, until
from swarm_for_tests import closed_stages, small_config

from actors.trainer.trainer import Trainer
from swarm_ray.experiments import experiment_metrics, experiment_status
from swarm_ray.experiments.folder import local_folder

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
    """Without any checkpoint; also by another machine, where the disk is lost before the first upload: all files are in the folder."""
    swarm = OneProcessSwarm(tmp_path / "My Drive", WITHOUT_CHECKPOINTS, hosted)
    said = recovered(swarm, 5, disk_lost=disk_lost)
    assert "4 update(s) taken again from the state log" in said
    if not disk_lost:
        assert "no whole checkpoint" in said
        assert "nothing lost" in said
        assert all(len(c.accepted) == 2 and c.seconds < 10 for c in closed_stages(swarm.root, "small"))
    rows = experiment_metrics(str(swarm.root), "small")
    assert sorted((r.node, r.step) for r in rows) == [
        (n, s) for n in ("node-0", "node-1") for s in range(ROUNDS)
    ]


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
