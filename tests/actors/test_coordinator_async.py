"""Async pace: the records are a ledger of every file that was first seen since the one before; nobody waits."""

from pathlib import Path

import pytest
from played_for_tests import Played

from swarm_ray.records.state import StageClosed


@pytest.fixture
def played(tmp_path: Path) -> Played:
    pace = {"pace__mode": "async", "pace__strategy": "time", "pace__max_s": 10, "pace__staleness": 2}
    return Played.begun(tmp_path, "node-1", "node-2", rounds=6, **pace)


def steps(closed: StageClosed) -> list[tuple[str, int]]:
    return [(ref.node, ref.step) for ref in closed.accepted]


def test_a_record_lists_all_files_of_all_steps_and_their_mean_reward(played: Played) -> None:
    for step, reward in enumerate((0.25, 0.5, 0.75)):
        played.publish("node-1", 0, step=step, reward=reward)
    played.tick(11)
    closed = played.closed
    assert steps(closed) == [("node-1", 0), ("node-1", 1), ("node-1", 2)]
    assert (closed.rewards, closed.informative) == ({"node-1": 0.5}, {"node-1": 3})
    assert closed.missing == ()
    assert played.last.tallies["node-1"].totals.reward == 1.5
    assert played.coordinator.get_round_and_stage() == (1, 0)


def test_each_step_is_listed_once(played: Played) -> None:
    played.publish("node-1", 0, step=0)
    played.tick(11)
    played.publish("node-1", 0, step=0, attempt=1)
    played.publish("node-2", 1, step=0)
    played.tick(11)
    assert steps(played.closed) == [("node-2", 0)]
    assert [ref.step for ref in played.closed.superseded] == [0]


def test_what_is_too_old_is_late(played: Played) -> None:
    for number in range(4):
        played.publish("node-1", number, step=number)
        played.tick(11)
    assert played.coordinator.get_round_and_stage() == (4, 0)
    played.publish("node-2", 1, step=0)
    played.publish("node-2", 2, step=1)
    played.tick(11)
    assert steps(played.closed) == [("node-2", 1)]
    assert [ref.step for ref in played.closed.late] == [0]


def test_a_joiners_files_are_listed_before_it_is_a_member(played: Played) -> None:
    played.register("node-3")
    played.publish("node-3", 0, step=0)
    played.publish("node-1", 0, step=0)
    played.tick(11)
    assert steps(played.closed) == [("node-1", 0), ("node-3", 0)]
    assert played.members() == ["node-1", "node-2", "node-3"]


def test_no_record_is_written_without_a_file(played: Played) -> None:
    before = len(played.records)
    played.tick(30)
    assert len(played.records) == before
    played.hand_in(0, "node-1", step=0)
    assert len(played.records) == before + 1


def test_a_silent_node_does_not_hold_the_ledger(tmp_path: Path) -> None:
    played = Played.begun(tmp_path, "node-1", "node-2", pace__mode="async", pace__dead_after_s=10, rounds=6)
    for second in range(1, 13):
        played.tell("node-1", second)
    played.hand_in(0, "node-1", step=0)
    assert steps(played.closed) == [("node-1", 0)]


def test_after_the_last_record_files_are_late(played: Played) -> None:
    for number in range(6):
        played.publish("node-1", number, step=number)
        played.tick(11)
    assert played.last.state == "draining"
    played.hand_in(5, "node-2", step=0)
    assert [ref.node for ref in played.answers.late] == ["node-2"]


def test_a_successor_lists_nothing_twice(played: Played) -> None:
    played.publish("node-1", 0, step=0)
    played.tick(11)
    played.publish("node-1", 1, step=1)
    played.succeed()
    played.tick(1)
    played.tick(1001)
    played.tick(11)
    found = [step for r in played.records if r.closed for step in steps(r.closed)]
    assert found == [("node-1", 0), ("node-1", 1)]
