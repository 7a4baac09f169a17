"""Checkpoints beside the rounds: taken when due, safe when told, and no trouble of a disk ends a run."""

import threading
from pathlib import Path

import pytest
from checkpoints_for_tests import (
    PATHS,
    WITHIN_S,
    Trial,
    assert_equal,
    everything,
    notify,
    small_node,
    small_policy,
    state_of,
    train,
)

from drive_store import StoreUnavailable
from drive_store.checkpoints.local import LocalCheckpoint
from drive_store.checkpoints.manifest import Manifest
from drive_store.checkpoints.stored import StoredCheckpoints
from swarm_ray.checkpointing import writer
from swarm_ray.checkpointing.restore import apply, find_newest, node_checkpoints
from swarm_ray.errors import CheckpointError


def local_steps(one: Trial, node: str = "node-0") -> list[int]:
    return [c.step for c in node_checkpoints(one.folder, PATHS, node).folders()]


def stored_steps(one: Trial, node: str = "node-0") -> list[int]:
    return [c.step for c in StoredCheckpoints(one.experiment, node).folders()]


def test_what_a_round_left_comes_back_bit_for_bit(trial) -> None:
    one, node = trial(), small_node()
    for _ in range(3):
        train(node)
        assert one.round(node)
    expected, state = everything(node.policy), state_of(node)
    train(node)
    problems: list[str] = []
    found = find_newest(one.folder, one.experiment, "node-0", problems)
    assert found is not None
    assert (found.state, found.origin, problems) == (state, "this machine", [])
    fresh = small_policy(9)
    apply(found, fresh, "all", found.state.model)
    assert_equal(everything(fresh), expected)
    assert one.saved == [("node-0", 1), ("node-0", 2), ("node-0", 3)]


def test_every_third_round_all_nodes_of_a_trainer_are_written_and_whole_when_told(trial) -> None:
    one, nodes, seen = trial(every=3, keep=9), [small_node("node-0"), small_node("node-1", seed=1)], []

    def look(node: str, step: int) -> None:
        own = node_checkpoints(one.folder, PATHS, node)
        seen.append((node, step, isinstance(own.verify(own.folders()[0]), Manifest)))

    notify(one, look)
    for _ in range(7):
        for node in nodes:
            train(node)
        one.round(*nodes)
    assert local_steps(one) == local_steps(one, "node-1") == [6, 3]
    assert seen == [(node.id, step, True) for step in (3, 6) for node in nodes]


def test_auto_waits_until_the_last_is_paid_for(trial) -> None:
    one, node = trial(every="auto"), small_node()
    train(node)
    assert one.round(node)
    assert not one.round(node)  # the clock stands still, and the thread has used some
    one.clock.now += 1000.0
    assert one.round(node)


def test_a_round_does_not_wait_for_a_disk(trial) -> None:
    one, node = trial(), small_node()
    goes_on = threading.Event()
    notify(one, lambda _node, _step: goes_on.wait() and None)
    train(node)
    assert one.checkpointer.after_round([node], state_of)
    for _ in range(5):
        train(node)
        assert not one.checkpointer.after_round([node], state_of)
    goes_on.set()
    assert one.checkpointer._thread.wait_idle(WITHIN_S)
    assert one.round(node)
    assert local_steps(one) == [6, 1]


def test_a_full_disk_is_told_once_and_keeps_the_older(trial, monkeypatch) -> None:
    one, node = trial(), small_node()
    train(node)
    one.round(node)

    def full(tensors: object, path: Path) -> None:
        raise CheckpointError(f"{path} cannot be written: no space")

    with monkeypatch.context() as patch:
        patch.setattr(writer, "save_tensors", full)
        for _ in range(3):
            train(node)
            one.round(node)
    assert local_steps(one) == [1]
    train(node)
    one.round(node)
    assert [node for node, _ in one.problems] == ["node-0", "node-0"]
    assert "no space" in one.problems[0][1]
    assert "works again" in one.problems[1][1]
    assert [step for _, step in one.saved] == [1, 5]
    assert local_steps(one) == [5, 1]


def test_uploads_come_by_time_and_at_the_end(trial) -> None:
    one, node = trial(store_every_s=100.0, keep=2, keep_best=0), small_node()
    for _ in range(7):
        train(node)
        one.round(node)
        one.clock.now += 40.0
    assert stored_steps(one) == [7, 4]
    train(node)
    assert one.flush(node) == []
    assert stored_steps(one) == local_steps(one) == [8, 7]
    assert one.flush(node, upload=False) == []
    assert one.problems == []


def test_a_large_one_goes_without_its_optimizer_then_not_at_all(trial) -> None:
    node = small_node()
    train(node)
    weights = sum(p.numel() * 4 for p in node.policy.model.parameters())
    partly, never = trial("a", store_bytes=2 * weights), trial("b", store_bytes=weights // 2)
    assert partly.flush(node) == []
    assert "without the optimizer" in partly.problems[0][1]
    stored = StoredCheckpoints(partly.experiment, "node-0")
    elsewhere = node_checkpoints(partly.folder / "elsewhere", PATHS, "node-0")
    copied = stored.download(stored.folders()[0], elsewhere)
    assert isinstance(copied, LocalCheckpoint)
    assert not copied.file("optimizer.safetensors").exists()
    train(node)
    [line] = never.flush(node)
    assert "store_bytes" in line
    assert stored_steps(never) == [1]
    assert local_steps(never) == [2]


def test_a_lost_folder_is_told_once_and_tried_again(trial) -> None:
    one, node = trial(store_every_s=0.0), small_node()
    sentinel = Path(one.store.root, PATHS.experiment_json)
    sentinel.rename(sentinel.with_suffix(".away"))
    for _ in range(3):
        train(node)
        one.round(node)
    assert local_steps(one)[0] == 3
    assert len(one.problems) == 1
    sentinel.with_suffix(".away").rename(sentinel)
    train(node)
    one.round(node)
    assert stored_steps(one) == [4]
    assert len(one.problems) == 2
    assert "works again" in one.problems[1][1]


def test_a_folder_without_room_is_told(trial, monkeypatch) -> None:
    one, node = trial(), small_node()
    train(node)
    monkeypatch.setattr(one.store, "free_space", lambda: 1000)
    [line] = one.flush(node)
    assert "1,000 bytes left" in line
    assert stored_steps(one) == []
    monkeypatch.setattr(one.store, "free_space", lambda: None)
    assert one.flush(node) == []
    assert stored_steps(one) == [1]


def test_a_folder_that_hangs_stops_neither_rounds_nor_the_end(trial, monkeypatch) -> None:
    one, node = trial(store_every_s=0.0), small_node()
    answers, begun = threading.Event(), threading.Event()

    def hang(key: str, path: Path) -> None:
        begun.set()
        answers.wait()
        raise StoreUnavailable("it hung")

    monkeypatch.setattr(one.store, "put_file", hang)
    for _ in range(4):
        train(node)
        assert one.checkpointer.after_round([node], state_of)
        assert one.checkpointer._thread.wait_idle(WITHIN_S)
        assert begun.wait(WITHIN_S)
    # The one that is being uploaded stays, although two newer ones are there.
    assert local_steps(one) == [4, 3, 1]
    [line] = one.flush(node, within_s=0.5)
    assert "on this machine only" in line
    answers.set()


def test_the_end_writes_the_last_state_of_a_step_again(trial) -> None:
    one, node = trial(), small_node()
    train(node)
    one.round(node)
    assert one.checkpointer.flush([node], lambda n: state_of(n, evaluated=True), within_s=WITHIN_S) == []
    here = find_newest(one.folder, one.experiment, "node-0", [])
    there = find_newest(one.folder / "elsewhere", one.experiment, "node-0", [])
    assert here is not None
    assert there is not None
    assert here.state.evaluated
    assert there.state == here.state
    assert there.origin == "the folder"


def test_no_node_is_no_work(trial) -> None:
    one = trial()
    assert not one.round()
    assert one.flush() == []
    one.checkpointer.close()
    one.checkpointer.close()
    with pytest.raises(CheckpointError):
        one.flush(small_node())
