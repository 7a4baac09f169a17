"""A trainer's view of the state log: what it waits for, what ends the wait, and what a record must be."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from folder_for_tests import Folder, closed, opens

from swarm_ray.errors import StopRequested, SwarmStateError
from swarm_ray.exchange.swarm_state import KEPT_STAGES


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_round_opens_for_its_members_and_once(folder: Folder) -> None:
    state, _, _ = folder.follow()
    folder.append("waiting")
    folder.append(opens=opens(0, "node-1", "node-2"))
    found = state.wait_open({"node-2"}, -1)
    assert found == opens(0, "node-1", "node-2")
    folder.append(closed=closed(0), opens=opens(1, "node-1"))
    folder.append(closed=closed(1), opens=opens(2, "node-1", "node-2"))
    assert state.wait_open({"node-2"}, 0) == opens(2, "node-1", "node-2")


@pytest.mark.parametrize("end", ["draining", "finished", "stopped", "failed"])
def test_no_round_opens_after_the_end(folder: Folder, end: str) -> None:
    state, _, _ = folder.follow()
    folder.append(opens=opens(0, "node-1"))
    folder.append(end, closed=closed(0))
    assert state.wait_open({"node-1"}, 0) is None
    assert state.wait_open({"node-9"}, -1) is None


def test_a_closed_round_is_found_after_later_ones_have_closed(folder: Folder) -> None:
    state, _, _ = folder.follow()
    folder.append(opens=opens(0, "node-1"))
    assert state.wait_open({"node-1"}, -1) is not None
    for number in range(4):
        folder.append(closed=closed(number), opens=opens(number + 1, "node-1"))
    assert state.wait_closed(1, within_s=5).round == 1
    assert state.latest is not None
    assert state.latest.opens == opens(4, "node-1")


def test_only_the_last_stages_are_kept(folder: Folder) -> None:
    state, _, _ = folder.follow()
    folder.append(opens=opens(0, "node-1"))
    state.poll()
    for number in range(KEPT_STAGES + 3):
        folder.append(closed=closed(number), opens=opens(number + 1, "node-1"))
    state.poll()
    with pytest.raises(SwarmStateError):
        state.wait_closed(2, within_s=0)
    assert state.wait_closed(3, within_s=0).round == 3


def test_a_latecomer_starts_from_the_newest_record(folder: Folder) -> None:
    folder.append("waiting")
    for number in range(30):
        folder.append(closed=closed(number), opens=opens(number + 1, "node-1"))
    state, store, _ = folder.follow()
    reads = store.operations.reads
    assert state.poll()
    assert state.wait_open({"node-1"}, -1) == opens(30, "node-1")
    assert store.operations.reads - reads < 10
    folder.append("draining", closed=closed(30))
    assert state.wait_closed(30, within_s=5).round == 30


def test_a_silent_coordinator_is_an_error_that_says_what_to_do(folder: Folder) -> None:
    state, _, _ = folder.follow()
    folder.append(opens=opens(0, "node-1"))
    with pytest.raises(SwarmStateError, match=r"closes round 0.*small.*coordinator alive"):
        state.wait_closed(0, within_s=0)


def test_an_experiment_that_ends_ends_the_wait_with_its_reason(folder: Folder) -> None:
    state, _, _ = folder.follow()
    folder.append(opens=opens(0, "node-1"))
    folder.append("failed", note="the folder is full")
    with pytest.raises(StopRequested, match="failed: the folder is full"):
        state.wait_closed(0, within_s=5)


def test_what_closed_with_the_last_round_is_answered_before_the_end(folder: Folder) -> None:
    state, _, _ = folder.follow()
    folder.append(opens=opens(0, "node-1"))
    state.poll()
    folder.append("draining", closed=closed(0))
    folder.append("finished")
    assert state.wait_closed(0, within_s=5).round == 0


def test_a_stop_ends_every_wait(folder: Folder) -> None:
    state, _, stop = folder.follow()
    folder.append(opens=opens(0, "node-1"))
    threading.Timer(0.05, stop.set).start()
    with pytest.raises(StopRequested):
        state.wait_closed(0, within_s=60)
    with pytest.raises(StopRequested):
        state.wait_open({"node-1"}, 0)
    with pytest.raises(StopRequested):
        state.pause()


def test_a_record_that_is_none_is_named(folder: Folder) -> None:
    state, _, _ = folder.follow()
    folder.log.append(b'{"state": 7}', round=0, stage=0)
    with pytest.raises(SwarmStateError, match="state record 0 of epoch 1"):
        state.poll()


def test_looking_costs_the_same_whatever_the_number_of_nodes(tmp_path: Path) -> None:
    costs = []
    for count in (2, 6):
        folder = Folder(tmp_path / str(count))
        nodes = [f"node-{n}" for n in range(count)]
        members = [folder.join(node) for node in nodes]
        state, store, _ = folder.follow()
        folder.append(opens=opens(0, *nodes))
        before = store.operations.lists
        assert state.wait_open({"node-1"}, -1) is not None
        refs = tuple(folder.publish(m.node, 0) for m in members)
        folder.append("draining", closed=closed(0, refs))
        assert len(state.wait_closed(0, within_s=5).accepted) == count
        assert state.wait_open({"node-1"}, 0) is None
        costs.append(store.operations.lists - before)
    assert costs[0] == costs[1] <= 4
