"""Rounds of several stages, tick by tick: a game's coordinator, with nodes that a test plays by hand."""

from pathlib import Path
from typing import Any

import pytest
from played_for_tests import Played

from swarm_ray.config.load import load_config
from swarm_ray.errors import ConfigError
from swarm_ray.records.state import Moment

NODES = ("node-1", "node-2")


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    """Two nodes in stage 0 of round 0, of two rounds with three stages each; a stage takes 50 s at most."""
    monkeypatch.setenv("SWARM_RAY_STATE", str(tmp_path / "state"))
    return Played.begun(tmp_path, *NODES, lock=True, stages=3, game="math", rounds=2, pace__max_s=50)


def share(played: Played, node: str, moment: Moment, reward: float | None = None, **said: Any) -> None:
    """Publish a game's file; only those of a first stage tell a reward, that of the round before."""
    said = {"rollouts": (), "game": b"x", "informative": 0} | said
    played.publish(node, moment.round, stage=moment.stage, reward=reward, **said)


def play(played: Played, moment: Moment, *nodes: str, reward: float | None = None, **said: Any) -> None:
    for node in nodes or NODES:
        share(played, node, moment, reward, **said)
    played.tick()


def opened(played: Played) -> Moment | None:
    return played.last.opens.moment if played.last.opens else None


def test_the_stages_of_a_round_come_one_after_the_other_and_then_the_next_round(played: Played) -> None:
    seen = []
    moments = [Moment(n, s) for n in (0, 1) for s in (0, 1, 2)]
    for moment in moments:
        seen.append(opened(played))
        play(played, moment, reward=0.5 if moment == Moment(1, 0) else None)
    assert seen == moments
    assert played.last.state == "draining"
    closings = [r.closed for r in played.records if r.closed]
    assert [c.moment for c in closings] == seen
    assert all([ref.node for ref in c.accepted] == list(NODES) for c in closings)
    assert all(f"-s{c.stage}." in ref.key for c in closings for ref in c.accepted)
    assert [c.rewards for c in closings] == [{}] * 3 + [{"node-1": 0.5, "node-2": 0.5}] + [{}] * 2
    assert played.last.tallies["node-1"].totals.reward == 0.5
    assert played.last.tallies["node-1"].reward == 0.5, "a later stage takes nothing back"
    assert played.coordinator.status().closed == 2
    assert played.coordinator.get_submissions_for_round(1) == list(NODES)


def test_a_file_of_a_later_stage_waits_for_its_stage_and_one_of_an_earlier_is_late(played: Played) -> None:
    share(played, "node-1", Moment(0, 1))
    played.tick()
    assert played.last.closed is None
    assert opened(played) == Moment(0, 0)
    play(played, Moment(0, 0), "node-2")
    played.tick(51)
    assert opened(played) == Moment(0, 1), "the longest time of a stage has passed"
    played.tick(51)
    assert opened(played) == Moment(0, 2), "the file that waited counts in its own stage"
    share(played, "node-1", Moment(0, 0))
    play(played, Moment(0, 2))
    closed = played.closed
    assert [ref.key.rpartition("/")[2][:10] for ref in closed.late] == ["r000000-s0"]


def test_nobody_enters_in_the_middle_of_a_round(played: Played) -> None:
    play(played, Moment(0, 0))
    played.register("node-3")
    play(played, Moment(0, 1))
    assert opened(played) == Moment(0, 2)
    assert played.members() == ["node-1", "node-2"]
    play(played, Moment(0, 2))
    assert played.members() == ["node-1", "node-2", "node-3"]


def test_a_round_goes_on_with_those_who_are_left(played: Played) -> None:
    play(played, Moment(0, 0))
    played.beat("node-1", 5, problem="its GPU is gone")
    play(played, Moment(0, 1), "node-2")
    assert opened(played) == Moment(0, 2)
    assert played.members() == ["node-2"]


def test_a_round_that_everybody_left_ends_before_its_last_stage(played: Played) -> None:
    play(played, Moment(0, 0))
    for node in NODES:
        played.beat(node, 5, problem="its GPU is gone")
    played.tick(1001)
    assert "round 0 ends before its stage" in "".join(record.note for record in played.records)
    played.join("node-3")
    assert opened(played) == Moment(1, 0)
    assert played.members() == ["node-3"]


def test_a_successor_goes_on_in_the_middle_of_a_round(played: Played) -> None:
    play(played, Moment(0, 0))
    share(played, "node-1", Moment(0, 1))
    played.tick()
    played.succeed(lock=True)
    played.tick()
    assert opened(played) == Moment(0, 1)
    assert played.members() == list(NODES)
    play(played, Moment(0, 1), "node-2")
    assert opened(played) == Moment(0, 2)
    accepted = [ref.node for ref in played.closed.accepted] if played.last.closed else []
    assert accepted == list(NODES), "the file that its predecessor had read but not named counts"


def test_a_successor_after_a_rounds_last_stage_opens_the_next(played: Played) -> None:
    for stage in (0, 1):
        play(played, Moment(0, stage))
    played.coordinator.control("pause")
    play(played, Moment(0, 2))
    assert played.last.state == "paused"
    played.succeed(lock=True)
    played.coordinator.control("resume")
    played.tick()
    assert opened(played) == Moment(1, 0)


def test_rounds_that_files_cannot_tell_of_raise_no_alarm(tmp_path: Path) -> None:
    played = Played.begun(tmp_path, "node-1", stages=2, game="math", rounds=3, alarm_rounds=2)
    for stage in (0, 1):
        play(played, Moment(0, stage), "node-1")
    assert played.last.barren == 0
    for number in (1, 2):
        play(played, Moment(number, 0), "node-1", reward=0.0)
        play(played, Moment(number, 1), "node-1")
    assert played.last.barren == 2
    assert played.last.learned_nothing


def test_rewards_are_copied_for_people_from_the_stage_that_tells_them(played: Played) -> None:
    for stage in (0, 1, 2):
        play(played, Moment(0, stage))
    play(played, Moment(1, 0), reward=0.25)
    play(played, Moment(1, 1))
    copy = played.folder.store.read(played.folder.paths.rewards(1), 1000)
    assert copy is not None
    assert b"0.25" in copy


def test_several_stages_need_somebody_to_wait_for() -> None:
    with pytest.raises(ConfigError, match=r"several stages needs pace\.mode=barrier"):
        load_config("tiny", overrides=["stages=3", "pace.mode=async"])
