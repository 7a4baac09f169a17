"""Every published file is answered: late while nothing is open, and named as expired when it never comes."""

from pathlib import Path

from played_for_tests import Played

from actors.coordinator.round_keeper import LONGEST_DRAIN


def drained(tmp_path: Path, **changes: object) -> Played:
    """Two nodes, of which the second never handed in its file of round 0; the one round has closed."""
    played = Played.begun(tmp_path, "node-1", "node-2", rounds=1, pace__drain_s=30, pace__max_s=5, **changes)
    played.publish("node-1", 0)
    played.tick(6)
    assert (played.last.state, played.last.closed is not None) == ("draining", True)
    assert played.closed.missing == ("node-2",)
    return played


def test_a_file_that_comes_while_draining_is_late_and_then_it_ends(tmp_path: Path) -> None:
    played = drained(tmp_path)
    played.beat("node-1", 5, done=True)
    played.tell("node-2", 5, unanswered=(0,))
    played.hand_in(0, "node-2")
    answers = played.last.answers
    assert answers is not None
    assert (played.last.state, [ref.node for ref in answers.late]) == ("draining", ["node-2"])
    played.tell("node-2", 6, done=True)
    assert (played.last.state, played.last.note, played.last.answers) == ("finished", "", None)


def test_a_file_that_never_comes_is_waited_for_and_named(tmp_path: Path) -> None:
    played = drained(tmp_path)
    played.beat("node-1", 5, done=True)
    played.beat("node-2", 5, done=True, unanswered=(0,))
    played.tick(20)
    assert played.last.state == "draining"
    played.tick(20)
    assert played.last.state == "finished"
    assert played.answers.expired == {"node-2": (0,)}


def test_who_makes_progress_with_its_last_work_is_waited_for(tmp_path: Path) -> None:
    """Evaluating, or writing and uploading the last checkpoint, for longer than `drain_s` and `dead_after_s`."""
    played = drained(tmp_path, pace__dead_after_s=15)
    played.beat("node-1", 1, done=True)
    for second in range(2, 14):
        phase = "evaluating" if second < 7 else "checkpointing"
        played.beat("node-2", second, phase=phase, progress=second)
        played.tick(9)
        assert (played.last.state, played.last.tallies["node-2"].problem) == ("draining", None)
    played.tell("node-2", 14, done=True)
    assert (played.last.state, played.last.note) == ("finished", "")
    assert played.last.tallies["node-2"].problem is None
    assert played.coordinator.status().problems == {}


def test_who_stops_making_progress_at_the_end_is_waited_for_no_longer_than_drain_s(tmp_path: Path) -> None:
    played = drained(tmp_path)
    played.beat("node-1", 1, done=True)
    played.beat("node-2", 2, progress=1)
    played.tick(29)
    played.beat("node-2", 3, progress=2)
    played.tick(29)
    assert played.last.state == "draining"
    played.beat("node-2", 4, step=3, progress=2)
    played.tick(31)
    assert (played.last.state, played.last.note) == ("finished", "no final heartbeat from node-2")


def test_nobody_holds_the_end_up_for_ever(tmp_path: Path) -> None:
    played = drained(tmp_path)
    for second in range(2, 2 + LONGEST_DRAIN + 2):
        played.beat("node-2", second, progress=second)
        played.tick(29)
    assert played.last.state == "finished"


def test_further_records_do_not_make_the_draining_longer(tmp_path: Path) -> None:
    played = drained(tmp_path)
    for step in range(3):
        played.publish("node-2", 0, attempt=step, step=step)
        played.tick(9)
        assert played.last.state == "draining"
    played.tick(9)
    assert played.last.state == "finished"
    assert played.last.note == "no final heartbeat from node-1, node-2"


def test_a_late_file_of_one_who_handed_in_is_answered_when_its_beat_asks(tmp_path: Path) -> None:
    played = Played.begun(tmp_path, "node-1", "node-2")
    played.hand_in(0, "node-1")
    played.hand_in(0, "node-1", attempt=1, step=7)
    played.hand_in(0, "node-2")
    assert played.closed.superseded == ()
    played.tell("node-1", 9, unanswered=(0,))
    played.hand_in(1, "node-1", "node-2")
    assert [ref.step for ref in played.closed.late] == [7]


def test_late_files_are_answered_while_paused(tmp_path: Path) -> None:
    played = Played.begun(tmp_path, "node-1", "node-2", pace__max_s=5)
    played.coordinator.control("pause")
    played.publish("node-1", 0)
    played.tick(6)
    assert played.last.state == "paused"
    played.publish("node-2", 0)
    played.tell("node-2", 3, unanswered=(0,))
    assert ([ref.node for ref in played.answers.late], played.last.state) == (["node-2"], "paused")


def test_the_failed_are_not_waited_for_at_the_end(tmp_path: Path) -> None:
    played = drained(tmp_path)
    played.beat("node-1", 5, done=True)
    played.tell("node-2", 5, problem="lost", unanswered=(0,))
    assert (played.last.state, played.answers.expired) == ("finished", {"node-2": (0,)})


def test_a_node_that_waits_for_answers_gets_them_while_its_round_is_open(tmp_path: Path) -> None:
    played = Played.begun(tmp_path, "node-1", pace__beat_s=2.0)
    played.play("node-1", rounds=range(1))
    assert (played.last.opens.round, played.last.answers) == (1, None)  # type: ignore[union-attr]
    for step in range(1, 4):  # made alone, while the folder was away; its disk takes no more of them
        played.publish("node-1", 0, attempt=step, step=step, alone=True)
    played.tell("node-1", 5, unanswered=(0, 0, 0))
    assert played.last.answers is None, "it may be about to hand in"
    played.beat("node-1", 6, unanswered=(0, 0, 0))
    played.tick(4.0)
    assert [ref.step for ref in played.answers.late] == [1, 2, 3]
    assert (played.last.state, played.last.opens.round) == ("running", 1)
    played.beat("node-1", 7, unanswered=())
    played.hand_in(1, "node-1", step=4)
    assert played.closed.round == 1
