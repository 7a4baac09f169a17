"""Nobody waits (async), nobody is there (alone), and the folder is out of reach: in one process, on real parts."""

import time
from pathlib import Path
from typing import Any

import pytest
from actors_for_tests import OneProcessSwarm, until
from swarm_for_tests import closed_stages, records_of, small_config

from drive_store import ExperimentStore, PublishedFile, StoreUnavailable, outbox
from swarm_ray.experiments import experiment_metrics, experiment_status
from swarm_ray.records.state import FileRef, StateRecord

TWO = {"nodes": 2, "pace__expect": 2, "pace__beat_s": 0.2}


def late_files(record: StateRecord) -> list[FileRef]:
    """All that a record answers as late."""
    sources = [source for source in (record.closed, record.answers) if source is not None]
    return [file for source in sources for file in source.late]


def test_in_async_pace_a_slow_node_holds_nobody_up(tmp_path: Path) -> None:
    pace = {"pace__expect": 3, "pace__mode": "async", "pace__strategy": "time", "pace__max_s": 1.0}
    config = small_config(nodes=3, rounds=6, slow_down_s=0.2, **pace)
    swarm = OneProcessSwarm(tmp_path / "My Drive", config, [["node-0"], ["node-1"], ["node-2"]])
    swarm.trainers[2]._config = config.model_copy(update={"slow_down_s": 1.0})
    with swarm:
        swarm.finish()
    rows = experiment_metrics(str(swarm.root), "small")
    steps = {node: sum(r.node == node for r in rows) for node in ("node-0", "node-1", "node-2")}
    assert steps["node-2"] >= 3
    assert min(steps["node-0"], steps["node-1"]) > 2 * steps["node-2"]
    assert all(sum(r.counters.used_from.values()) > 0 for r in rows if r.round >= 3 and r.trained)
    closed = closed_stages(swarm.root, "small")
    accepted = [(f.node, f.step) for c in closed for f in c.accepted]
    assert len(accepted) == len(set(accepted))
    assert any(len(c.accepted) > 3 for c in closed)
    assert {n.problem for n in experiment_status(str(swarm.root), "small").nodes} == {None}


def test_with_no_coordinator_nodes_train_alone_and_are_taken_back(tmp_path: Path) -> None:
    config = small_config(rounds=6, pace__alone_after_s=1.0, pace__dead_after_s=1.0, **TWO)
    swarm = OneProcessSwarm(tmp_path / "My Drive", config, [["node-0", "node-1"]])
    with swarm:
        until(lambda: swarm.coordinator.status().round >= 2)
        swarm.kill_coordinator()
        until(lambda: swarm.trainers[0]._state.alone)
        steps = [n.step for n in swarm.trainers[0].nodes]
        until(lambda: all(n.step >= s + 3 for n, s in zip(swarm.trainers[0].nodes, steps, strict=True)))
        swarm.succeed_coordinator()
        swarm.finish()
    rows = experiment_metrics(str(swarm.root), "small")
    alone = [r for r in rows if r.alone]
    assert len(alone) >= 6
    assert all(r.external <= 2 for r in alone)
    closed = closed_stages(swarm.root, "small")
    assert [c.round for c in closed] == list(range(6))
    # The file of the round that the dead coordinator had opened counts; those made alone never do.
    accepted = {(f.node, f.step) for c in closed for f in c.accepted}
    assert len(accepted & {(r.node, r.step) for r in alone}) <= 2
    late = {(f.node, f.step) for r in records_of(swarm.root, "small") for f in late_files(r)}
    assert late <= {(r.node, r.step) for r in alone}
    assert len(late) >= 4


def test_a_folder_out_of_reach_loses_nothing(tmp_path: Path) -> None:
    config = small_config(rounds=6, pace__alone_after_s=1.0, pace__dead_after_s=10.0, **TWO)
    swarm = OneProcessSwarm(tmp_path / "My Drive", config, [["node-0", "node-1"]])
    away = tmp_path / "unmounted"
    with swarm:
        until(lambda: swarm.coordinator.status().round >= 1)
        swarm.root.rename(away)
        until(lambda: swarm.trainers[0]._state.alone)
        steps = [n.step for n in swarm.trainers[0].nodes]
        until(lambda: all(n.step >= s + 2 for n, s in zip(swarm.trainers[0].nodes, steps, strict=True)))
        assert swarm.trainers[0]._exchange.bytes_waiting > 0
        away.rename(swarm.root)
        swarm.finish()
    rows = experiment_metrics(str(swarm.root), "small")
    assert {(r.node, r.step) for r in rows if r.alone}
    steps = [sorted(r.step for r in rows if r.node == n) for n in ("node-0", "node-1")]
    assert all(s == list(range(len(s))) for s in steps)
    closed = closed_stages(swarm.root, "small")
    assert [c.round for c in closed] == list(range(6))
    answered = {(f.node, f.step) for c in closed for f in c.accepted}
    answered |= {(f.node, f.step) for r in records_of(swarm.root, "small") for f in late_files(r)}
    assert answered == {(r.node, r.step) for r in rows}


def test_a_file_that_is_lost_comes_in_its_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or cannot be written; with one worker, nobody closes the round without it."""
    config = small_config(nodes=2, rounds=4, pace__expect=2, pace__retry_s=0.5, pace__max_s=1000)
    swarm = OneProcessSwarm(tmp_path / "My Drive", config, [["node-0", "node-1"]])
    trouble = iter(["away", "", "lost", "", "", ""])
    real = outbox.publish_round_file

    def publish(experiment: ExperimentStore, *arguments: Any, **named: Any) -> PublishedFile:
        kind = next(trouble, "")
        if kind == "away":
            raise StoreUnavailable("the mount has hiccups")
        made = real(experiment, *arguments, **named)
        if kind == "lost":
            experiment.store.remove(made.key)
        return made

    monkeypatch.setattr(outbox, "publish_round_file", publish)
    with swarm:
        swarm.finish()
    closed = closed_stages(swarm.root, "small")
    assert [len(c.accepted) for c in closed] == [2] * 4
    assert next(trouble, None) is None


def test_a_full_spool_is_emptied_when_the_folder_is_back(tmp_path: Path) -> None:
    pace = {"pace__alone_after_s": 0.5, "pace__beat_s": 0.2, "pace__dead_after_s": 30}
    config = small_config(nodes=1, external=0, rounds=5, retention__spool_bytes=3000, **pace)
    swarm = OneProcessSwarm(tmp_path / "My Drive", config, [["node-0"]])
    away = tmp_path / "unmounted"
    with swarm:
        until(lambda: swarm.coordinator.status().round >= 1)
        swarm.root.rename(away)
        until(lambda: swarm.trainers[0]._exchange.bytes_waiting > 3000)
        (node,) = swarm.trainers[0].nodes
        time.sleep(1.0)
        waiting, step = swarm.trainers[0]._exchange.bytes_waiting, node.step
        time.sleep(0.5)
        assert (swarm.trainers[0]._exchange.bytes_waiting, node.step) == (waiting, step)
        away.rename(swarm.root)
        swarm.finish()
    rows = experiment_metrics(str(swarm.root), "small")
    assert [r.step for r in rows] == list(range(len(rows)))


def test_an_epoch_beyond_reason_stops_nobody(tmp_path: Path) -> None:
    config = small_config(nodes=1, external=0, rounds=12, pace__beat_s=0.2)
    swarm = OneProcessSwarm(tmp_path / "My Drive", config, [["node-0"]])
    with swarm:
        until(lambda: swarm.coordinator.status().round >= 2)
        bucket = swarm.root / swarm.address.paths.state_bucket(0)
        (bucket / "e999999999-s00000000.coordinator.deadbeef.json").write_bytes(b"")
        until(lambda: swarm.coordinator.status().round >= 5)
        swarm.kill_coordinator()
        swarm.succeed_coordinator()
        swarm.finish()
    assert [c.round for c in closed_stages(swarm.root, "small")] == list(range(12))
