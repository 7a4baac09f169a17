"""A coordinator that dies is succeeded: above every epoch and round that is to be seen, and nothing counts twice."""

from pathlib import Path

import msgspec
import pytest
from folder_for_tests import closed, opens
from played_for_tests import Played

from actors.coordinator.failover import has_nothing_left, next_stage
from drive_store import newest
from drive_store.statelog.coordinator import write_coordinator_beat
from swarm_ray.errors import NodeTakenError
from swarm_ray.records.nodes import CoordinatorBeat, NodeTotals
from swarm_ray.records.state import NodeTally, StateRecord

NODES = ("node-1", "node-2")


def record(state: str = "running", **said: object) -> StateRecord:
    return msgspec.structs.replace(StateRecord(state, 3, None, None, {}), **said)


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    """Two nodes, and a coordinator that has this machine's seat; one round has closed."""
    monkeypatch.setenv("SWARM_RAY_STATE", str(tmp_path / "state"))
    made = Played.begun(tmp_path, *NODES, lock=True, rounds=5, pace__settle_s=5)
    made.play(*NODES, rounds=range(1))
    return made


def epoch_of(played: Played) -> int:
    found = newest(played.folder.address.open())
    assert found is not None
    return found.ref.epoch


def accepted_twice(played: Played) -> list[tuple[str, int]]:
    found = [(ref.node, ref.step) for r in played.records if r.closed for ref in r.closed.accepted]
    return [update for update in set(found) if found.count(update) > 1]


def test_a_restart_on_the_same_machine_goes_on_at_once_with_the_open_round(played: Played) -> None:
    before = played.coordinator.claimant
    played.publish("node-1", 1)
    played.succeed(lock=True)
    played.tick()
    assert epoch_of(played) == 2
    assert (played.last.opens is not None, played.members()) == (True, list(NODES))
    assert played.coordinator.get_round_and_stage() == (1, 0)
    assert f"succeeds {before} at round 1" in played.last.note
    played.hand_in(1, "node-2")
    played.play(*NODES, rounds=range(2, 5))
    assert played.last.state == "draining"
    assert [r.closed.round for r in played.records if r.closed] == [0, 1, 2, 3, 4]
    assert accepted_twice(played) == []


def test_sums_rewards_and_the_streak_go_on(played: Played) -> None:
    played.publish("node-1", 1, informative=0, reward=0.25)
    played.hand_in(1, "node-2", informative=0, reward=0.75)
    assert played.last.barren == 1
    tallies = played.last.tallies
    played.succeed(lock=True)
    played.tick()
    assert played.last.tallies == tallies
    assert played.coordinator.status().rewards == (0.5, 0.5)
    assert played.coordinator.get_submissions_for_round(1) == list(NODES)
    played.hand_in(2, *NODES, informative=0)
    assert played.last.barren == 2


def test_two_on_one_machine_cannot_be(played: Played) -> None:
    with pytest.raises(NodeTakenError, match="another process of this machine"):
        played.another(lock=True)


def test_elsewhere_a_successor_waits_for_silence(tmp_path: Path) -> None:
    played = Played.begun(tmp_path, "node-1", rounds=5, pace__dead_after_s=20, pace__settle_s=30)
    played.succeed()
    for _ in range(3):
        played.tick(10)
        assert epoch_of(played) == 1
        assert "silent" in played.coordinator.status().problem
    played.tick(10.1)
    assert (epoch_of(played), played.coordinator.get_round_and_stage()) == (2, (0, 0))
    assert played.coordinator.status().problem == ""


def test_a_living_coordinator_elsewhere_is_not_succeeded(tmp_path: Path) -> None:
    played = Played.begun(tmp_path, "node-1", rounds=5, pace__dead_after_s=20)
    living = played.coordinator
    played.coordinator = played.another()
    for count in range(2):
        played.tick()
        living.tick(played.now)
        said = msgspec.json.encode(CoordinatorBeat(count, 1, 0))
        write_coordinator_beat(played.folder.address.open(), living.claimant, 90 + count, said)
    with pytest.raises(NodeTakenError, match=f"coordinated by {living.claimant} elsewhere"):
        played.tick()
    assert epoch_of(played) == 1


def test_a_round_that_only_files_know_of_is_gone_past(played: Played) -> None:
    """Records of the predecessor that no successor ever sees."""
    played.publish("node-1", 3)
    played.succeed(lock=True)
    played.tick()
    assert epoch_of(played) == 1
    played.tick(6)
    assert (epoch_of(played), played.coordinator.get_round_and_stage()) == (2, (4, 0))
    played.tick()
    played.play(*NODES, rounds=range(4, 5))
    assert played.last.state == "draining"
    late = [ref.step for r in played.records if r.answers for ref in r.answers.late]
    assert late == [3]


def test_a_round_that_only_a_beat_knows_of_is_gone_past(played: Played) -> None:
    played.beat("node-2", 9, round=2)
    played.succeed(lock=True)
    for _ in range(2):
        played.tick(6)
    assert played.coordinator.get_round_and_stage() == (3, 0)


def test_a_stranger_cannot_send_the_swarm_beyond_its_last_round(played: Played) -> None:
    played.publish("node-1", 999_999_999)
    played.succeed(lock=True)
    for _ in range(2):
        played.tick(6)
    assert played.coordinator.get_round_and_stage() == (1, 0)


def test_one_that_wakes_up_ends_and_writes_nothing_more(played: Played) -> None:
    asleep = played.coordinator
    played.succeed(lock=True)
    played.tick()
    before = len(list((played.folder.root / played.folder.paths.state_folder).rglob("e*.json")))
    for node in NODES:
        played.publish(node, 1)
    asleep.tick(played.now)
    status = asleep.status()
    assert status.state == "superseded"
    assert played.coordinator.claimant in status.problem
    assert not asleep.tick(played.now + 1)
    assert before == len(list((played.folder.root / played.folder.paths.state_folder).rglob("e*.json")))


def test_a_node_given_up_by_the_predecessor_is_not_waited_for(tmp_path: Path) -> None:
    played = Played.begun(tmp_path, *NODES, pace__dead_after_s=10, rounds=9)
    for second in range(1, 13):
        played.tell("node-1", second)
    played.play("node-1", rounds=range(1))
    assert played.members() == ["node-1"]
    played.succeed()
    played.tick()
    played.beat("node-1", 50)
    played.tick(30)
    assert played.members() == ["node-1"]
    played.tell("node-2", 50)
    played.play("node-1", rounds=range(1, 2))
    assert played.members() == ["node-1", "node-2"]


def test_what_is_finished_stays_so_and_nothing_is_written(tmp_path: Path) -> None:
    played = Played.begun(tmp_path, "node-1", rounds=1)
    played.play("node-1", rounds=range(1))
    played.tell("node-1", 9, done=True)
    assert played.last.state == "finished"
    before = len(played.records)
    played.succeed()
    assert played.coordinator.run() == "finished"
    assert len(played.records) == before
    assert played.coordinator.status().record == played.last


@pytest.mark.parametrize("state", ["stopped", "failed"])
def test_what_was_stopped_goes_on(played: Played, state: str) -> None:
    played.coordinator.stop(state, "enough")
    played.tick()
    assert played.last.state == state
    played.succeed(lock=True)
    played.tick()
    assert played.coordinator.get_round_and_stage() == (1, 0)
    played.play(*NODES, rounds=range(1, 5))
    assert played.last.state == "draining"


def test_a_stop_before_the_term_ends_it_without_a_word(tmp_path: Path) -> None:
    played = Played.begun(tmp_path, "node-1", rounds=5)
    before = len(played.records)
    played.succeed()
    played.tick()
    played.coordinator.stop("stopped", "enough")
    played.tick()
    assert played.coordinator.status().state == "stopped"
    assert len(played.records) == before


def test_a_pause_is_inherited(played: Played) -> None:
    played.coordinator.control("pause")
    played.play(*NODES, rounds=range(1, 2))
    assert played.last.state == "paused"
    played.succeed(lock=True)
    played.tick()
    assert (epoch_of(played), played.last.state) == (2, "paused")
    played.coordinator.control("resume")
    played.tick()
    assert (played.last.state, played.coordinator.get_round_and_stage()) == ("running", (2, 0))


def test_the_next_round_is_the_open_one_or_follows_the_last_that_closed() -> None:
    tally = NodeTally(6, 6, 0.5, NodeTotals())
    assert next_stage([]) == (0, 0)
    assert next_stage([record(opens=opens(4, "node-1"))]) == (4, 0)
    assert next_stage([record(opens=opens(4, "node-1")), record("waiting", closed=closed(4))]) == (5, 0)
    assert next_stage([record(opens=opens(4, "node-1")), record("waiting")]) == (4, 0)
    assert next_stage([record("waiting", tallies={"node-1": tally})]) == (7, 0)


def test_finished_means_that_no_round_is_left() -> None:
    last = record(closed=closed(2))
    assert has_nothing_left([last, record("finished")], 3)
    assert not has_nothing_left([last, record("finished")], 4)
    assert not has_nothing_left([last, record("stopped")], 3)
    assert not has_nothing_left([], 3)
