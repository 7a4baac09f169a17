"""A trainer's view of the state log: what it waits for, what ends the wait, and what a record must be."""

import threading
from pathlib import Path

import pytest
from folder_for_tests import CLAIMANT, Folder, closed, incarnation, opens

from drive_store import ExperimentStore, write_coordinator_beat
from swarm_ray.config.schema import PaceConfig
from swarm_ray.errors import StopRequested, Superseded, SwarmStateError
from swarm_ray.exchange.backoff import Backoff
from swarm_ray.exchange.state_follower import NoRound, StateFollower
from swarm_ray.records.state import StageClosed


@pytest.fixture
def state(folder: Folder) -> StateFollower:
    """One that has seen round 0 open for node-1."""
    found, _, _ = folder.follow()
    folder.append(opens=opens(0, "node-1"))
    found.poll()
    return found


def closing(state: StateFollower, number: int) -> StageClosed:
    """The record that closes a round, which must be there."""
    found = state.wait_closed(number)
    assert found is not None
    return found


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
def test_no_round_opens_after_the_end(folder: Folder, state: StateFollower, end: str) -> None:
    folder.append(end, closed=closed(0))
    assert state.wait_open({"node-1"}, 0) is NoRound.ENDED
    assert state.wait_open({"node-9"}, -1) is NoRound.ENDED


def test_closed_rounds_are_found_after_later_ones_until_they_are_let_go(
    folder: Folder, state: StateFollower
) -> None:
    for number in range(30):
        folder.append(closed=closed(number), opens=opens(number + 1, "node-1"))
    assert closing(state, 1).round == 1
    assert state.latest is not None
    assert state.latest.opens == opens(30, "node-1")
    assert [c.round for c in state.closings()] == list(range(30))
    state.forget_before(28)
    assert [c.round for c in state.closings()] == [28, 29]
    assert (state.closed(27), closing(state, 28).round) == (None, 28)


def test_one_that_was_away_begins_after_its_last_record_and_knows_the_newest(folder: Folder) -> None:
    first, _, _ = folder.follow()
    folder.append(opens=opens(0, "node-1"))
    first.poll()
    again, _, _ = folder.follow(after=first.ref)
    again.poll()
    assert again.latest is not None
    assert again.wait_open({"node-1"}, -1) == opens(0, "node-1")
    for number in range(3):
        folder.append(closed=closed(number), opens=opens(number + 1, "node-1"))
    later, _, _ = folder.follow(after=first.ref)
    later.poll()
    assert [c.round for c in later.closings()] == [0, 1, 2]


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
    assert closing(state, 30).round == 30


ALONE_SOON = PaceConfig(poll_min_s=0.001, poll_max_s=0.01, beat_s=0.01, alone_after_s=5, alone_rounds=2)


class Clock:
    """Goes on by a tenth of a second whenever somebody looks."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.1
        return self.now


def test_with_nobody_there_a_node_is_alone_until_somebody_writes(folder: Folder) -> None:
    state, _, _ = folder.follow(ALONE_SOON, clock=Clock())
    folder.append(opens=opens(0, "node-1"))
    state.poll()
    assert state.wait_closed(0) is None
    assert state.alone
    assert state.wait_open({"node-1"}, 0) is NoRound.ALONE
    folder.append(closed=closed(0), opens=opens(1, "node-1"))
    assert state.wait_open({"node-1"}, 0) == opens(1, "node-1")
    assert not state.alone


def test_a_coordinator_that_beats_is_waited_for(folder: Folder) -> None:
    clock = Clock()
    state, _, _ = folder.follow(ALONE_SOON, clock=clock)
    folder.append(opens=opens(0, "node-1"))
    for count in range(100):
        write_coordinator_beat(ExperimentStore(folder.store, folder.paths), CLAIMANT, count, b"{}")
        state.poll()
        clock.now += 1
        assert not state.alone
    assert clock.now > 10 * ALONE_SOON.alone_after_s


def test_a_round_that_was_given_up_closes_with_nothing(folder: Folder, state: StateFollower) -> None:
    folder.append("waiting", note="every member is gone")
    folder.append(opens=opens(2, "node-1"))
    assert (closing(state, 0).accepted, closing(state, 1).accepted) == ((), ())
    assert state.closed(0) is None


@pytest.mark.parametrize(("end", "rounds"), [("finished", 200), ("stopped", 3), ("failed", 3)])
def test_an_end_that_was_there_before_is_waited_out_for_a_while(
    folder: Folder, end: str, rounds: int
) -> None:
    """A worker that starts with its coordinator may be the first of the two to look."""
    folder.append(opens=opens(0, "node-1"))
    folder.append(end, closed=closed(0))
    state, _, _ = folder.follow(ALONE_SOON, rounds=rounds, clock=Clock())
    assert state.wait_open({"node-1"}, 0) is NoRound.ENDED  # nobody came
    state, _, _ = folder.follow(ALONE_SOON, rounds=rounds)
    threading.Timer(0.1, folder.append, kwargs={"opens": opens(1, "node-1")}).start()
    assert state.wait_open({"node-1"}, 0) == opens(1, "node-1")


def test_steps_alone_are_counted(folder: Folder) -> None:
    state, _, cancellation = folder.follow(ALONE_SOON, clock=Clock())
    folder.append(opens=opens(0, "node-1"))
    state.poll()
    assert state.wait_closed(0) is None
    state.alone_left = 0
    threading.Timer(0.1, cancellation.cancel).start()
    with pytest.raises(StopRequested):
        state.wait_open({"node-1"}, 0)


def test_a_folder_out_of_reach_is_a_problem_and_then_none(folder: Folder) -> None:
    state, _, _ = folder.follow(ALONE_SOON, clock=Clock())
    folder.append(opens=opens(0, "node-1"))
    assert state.poll()
    away = folder.root.rename(folder.root.parent / "away")
    while state.problem is None:
        state.poll()
    assert "Mount it" in str(state.problem)
    away.rename(folder.root)
    folder.append(closed=closed(0), opens=opens(1, "node-1"))
    assert state.poll()
    assert state.problem is None


def test_whose_place_is_taken_ends(folder: Folder) -> None:
    state, _, _ = folder.follow()
    state.claimed = {"node-1": frozenset({"0000000a", incarnation("node-1")})}
    folder.append(opens=opens(0, "node-1", "node-2"))
    assert state.poll()
    state.claimed = {"node-1": frozenset({"0000000a"})}
    folder.append(closed=closed(0), opens=opens(1, "node-1"))
    with pytest.raises(Superseded, match=f"node-1.*{incarnation('node-1')}"):
        state.poll()


def test_an_end_comes_with_its_reason_after_what_closed_before(folder: Folder, state: StateFollower) -> None:
    folder.append("draining", closed=closed(0))
    folder.append("failed", note="the folder is full")
    assert closing(state, 0).round == 0
    with pytest.raises(StopRequested, match="failed: the folder is full"):
        closing(state, 1)


def test_a_stop_ends_every_wait(folder: Folder) -> None:
    state, _, cancellation = folder.follow()
    folder.append(opens=opens(0, "node-1"))
    threading.Timer(0.05, cancellation.cancel).start()
    for wait in (lambda: state.wait_closed(0), lambda: state.wait_open({"node-1"}, 0), state.pause):
        with pytest.raises(StopRequested):
            wait()


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
        assert len(closing(state, 0).accepted) == count
        assert state.wait_open({"node-1"}, 0) is NoRound.ENDED
        costs.append(store.operations.lists - before)
    assert costs[0] == costs[1] <= 4


def test_pauses_grow_by_a_tenth_up_to_the_longest_and_start_anew_after_a_change() -> None:
    slept: list[float] = []
    backoff = Backoff(0.1, 0.13, slept.append)
    for _ in range(4):
        backoff.pause()
    backoff.changed()
    backoff.pause()
    assert slept == pytest.approx([0.1, 0.11, 0.121, 0.13, 0.1])
    backoff.pause(0.05)
    backoff.pause(-1.0)
    assert slept[-2:] == [0.05, 0.0], "never past a deadline"
