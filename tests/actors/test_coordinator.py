"""The coordinator, tick by tick, with nodes that a test plays by hand."""

from pathlib import Path

import pytest
from folder_for_tests import incarnation
from played_for_tests import Played
from swarm_for_tests import records_of

from drive_store import StoreUnavailable
from swarm_ray.records.nodes import NodeTotals
from swarm_ray.records.state import Member, StageClosed


def test_round_0_opens_when_as_many_nodes_as_expected_have_registered(tmp_path: Path) -> None:
    played = Played(tmp_path, pace__expect=2)
    played.tick()
    played.join("node-1")
    assert played.coordinator.get_round_and_stage() == (-1, 0)
    played.join("node-2")
    assert played.coordinator.get_round_and_stage() == (0, 0)
    assert played.members() == ["node-1", "node-2"]
    assert played.coordinator.get_active_peers() == [Member(n, incarnation(n)) for n in ("node-1", "node-2")]


def test_a_node_that_fails_before_round_0_does_not_hold_the_others_up(tmp_path: Path) -> None:
    played = Played(tmp_path, pace__expect=3)
    played.register("node-1", "node-2")
    played.tell("node-2", 1, problem="a prompt does not fit the model")
    assert played.coordinator.status().state == "waiting"
    played.join("node-3")
    assert played.members() == ["node-1", "node-3"]


def test_a_round_closes_when_all_members_are_in_and_the_next_opens_with_it(tmp_path: Path) -> None:
    played = Played.begun(tmp_path, "node-1", "node-2")
    played.hand_in(0, "node-1", reward=0.25)
    assert played.last.closed is None
    played.hand_in(0, "node-2", reward=0.5, informative=0)
    closed = played.closed
    assert (closed.round, closed.rewards) == (0, {"node-1": 0.25, "node-2": 0.5})
    assert closed.informative == {"node-1": 1, "node-2": 0}
    assert [ref.node for ref in closed.accepted] == ["node-1", "node-2"]
    assert played.last.opens.round == 1
    assert played.coordinator.get_submissions_for_round(0) == ["node-1", "node-2"]
    assert played.coordinator.status().rewards == (0.375,)


def test_a_joiner_enters_the_next_round(tmp_path: Path) -> None:
    played = Played.begun(tmp_path, "node-1")
    played.join("node-2")
    assert played.members() == ["node-1"]
    played.hand_in(0, "node-1")
    assert played.members() == ["node-1", "node-2"]


def test_the_dead_are_not_waited_for(tmp_path: Path) -> None:
    played = Played.begun(tmp_path, "node-1", "node-2", pace__dead_after_s=10)
    for second in range(1, 12):
        played.tell("node-1", second)
    played.hand_in(0, "node-1")
    assert played.closed.missing == ("node-2",)
    assert played.members() == ["node-1"]
    assert "nothing heard" in str(played.last.tallies["node-2"].problem)
    assert "node-2" in played.coordinator.status().problems


def test_a_stage_without_any_file_stays_open_past_its_time(tmp_path: Path) -> None:
    played = Played.begun(tmp_path, "node-1", "node-2", pace__max_s=5)
    played.tick(60)
    assert (played.last.state, played.last.closed) == ("running", None)
    played.hand_in(0, "node-2")
    assert played.closed.missing == ("node-1",)
    assert played.members() == ["node-1", "node-2"]


def test_a_round_whose_members_are_all_gone_opens_again_with_those_who_come(tmp_path: Path) -> None:
    played = Played.begun(tmp_path, "node-1", pace__dead_after_s=10)
    played.hand_in(0, "node-1")
    played.tick(30)
    assert (played.last.state, played.last.opens) == ("waiting", None)
    assert "round 1" in played.last.note
    played.join("node-2")
    assert (played.last.opens.round, played.members()) == (1, ["node-2"])
    for number in (1, 2):
        played.hand_in(number, "node-2")
    assert played.last.state == "draining"
    assert [r.closed.round for r in records_of(played.folder.root, "small") if r.closed] == [0, 1, 2]


def test_too_few_living_nodes_make_the_swarm_wait(tmp_path: Path) -> None:
    played = Played.begun(tmp_path, "node-1", "node-2", pace__min_nodes=2)
    played.tell("node-2", 1, problem="its loss is not finite")
    played.hand_in(0, "node-1")
    assert (played.last.state, played.last.opens) == ("waiting", None)
    assert "2" in played.last.note
    played.join("node-3")
    assert (played.last.state, played.members()) == ("running", ["node-1", "node-3"])


def test_the_winner_is_the_node_with_most_votes_and_strangers_have_none(tmp_path: Path) -> None:
    nodes = [f"node-{n}" for n in range(1, 5)]
    played = Played.begun(tmp_path, *nodes)
    votes = {  # those of a node for itself and for nobody do not count, and none counts twice
        ("node-2", "node-2", "node-1", "nobody"): ("node-1", "node-2"),
        (None, "node-3", "node-2", "nobody"): ("node-2", "node-3"),
        (None, None, None, "node-1"): ("node-1",),
    }
    for number, (said, winners) in enumerate(votes.items()):
        for node, vote in zip(nodes, said, strict=True):
            played.publish(node, number, vote=vote)
        played.tick()
        assert played.closed.winners == winners


def test_after_the_last_round_it_waits_for_last_words_and_ends(tmp_path: Path) -> None:
    played = Played.begun(tmp_path, "node-1", "node-2", rounds=1)
    played.hand_in(0, "node-1", "node-2")
    assert played.last.state == "draining"
    totals = NodeTotals(reward=0.5, used=3, pass_at_1_end=0.25)
    played.tell("node-1", 5, done=True, totals=totals)
    assert played.last.state == "draining"
    played.tell("node-2", 5, done=True)
    assert (played.last.state, played.last.note) == ("finished", "")
    assert played.last.tallies["node-1"].totals == totals


def test_who_never_says_its_last_word_is_named(tmp_path: Path) -> None:
    played = Played.begun(tmp_path, "node-1", "node-2", rounds=1, pace__drain_s=30)
    played.hand_in(0, "node-1", "node-2")
    played.beat("node-1", 5, done=True)
    played.tick(31)
    assert (played.last.state, played.last.note) == ("finished", "no final heartbeat from node-2")


def test_the_state_between_rounds_holds_the_sums_of_the_files(tmp_path: Path) -> None:
    """A beat is written seldom, so the sums in it are behind those of the files until a node is done."""
    played = Played.begun(tmp_path, "node-1", rounds=1)
    played.hand_in(0, "node-1", reward=0.75)
    assert played.last.state == "draining"
    assert played.last.tallies["node-1"].totals.reward == 0.75


@pytest.mark.parametrize(("alarm", "rounds"), [(2, 3), (20, 3)])
def test_rounds_that_teach_nothing_raise_the_alarm(tmp_path: Path, alarm: int, rounds: int) -> None:
    """T8."""
    played = Played(tmp_path, alarm_rounds=alarm, rounds=rounds)
    played.register("node-1")
    said = []
    for number in range(rounds):
        played.tick()
        played.hand_in(number, "node-1", informative=0)
        said.append(played.last.learned_nothing)
    assert said == [number + 1 >= min(alarm, rounds) for number in range(rounds)]


def test_a_stop_is_a_record_and_the_first_one_counts(tmp_path: Path) -> None:
    played = Played.begun(tmp_path, "node-1")
    played.coordinator.stop("failed", "a trainer died")
    played.coordinator.stop("stopped", "on request")
    played.coordinator.tick(played.now)
    assert (played.last.state, played.last.note) == ("failed", "a trainer died")
    assert played.coordinator.status().state == "failed"


def test_nothing_is_written_where_the_experiment_has_gone(tmp_path: Path) -> None:
    played = Played(tmp_path)
    played.register("node-1")
    sentinel = played.folder.root / played.folder.paths.experiment_json
    sentinel.rename(sentinel.with_name("away"))
    with pytest.raises(StoreUnavailable):
        played.tick()
    assert not list(played.folder.root.rglob("e000001*"))


@pytest.fixture
def played(tmp_path: Path) -> Played:
    """Async pace: the records are a ledger of every file that was first seen since the one before."""
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
