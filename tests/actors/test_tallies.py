"""Sums per node, and the streak of rounds that teach nothing."""

from __future__ import annotations

from folder_for_tests import round_file

from actors.coordinator.closing import Tallies
from swarm_ray.records.nodes import NodeTotals
from swarm_ray.records.rollouts import StepCounters


def test_sums_are_of_the_files_and_of_the_steps_before_them() -> None:
    tallies = Tallies(20)
    counters = StepCounters(offered=5, used=2, rejected={"other text": 1, "held out": 2})
    tallies.submit_reward("node-1", 0, round_file(step=0, reward=0.25, generated_tokens=7))
    tallies.submit_reward("node-1", 1, round_file(step=1, reward=0.5, generated_tokens=9, previous=counters))
    tallies.submit_reward("node-2", 1, round_file(step=0, reward=0.125, generated_tokens=1))
    found = tallies.of({"node-2": None, "node-1": "lost", "node-3": None}, {})
    assert list(found) == ["node-1", "node-2", "node-3"]
    one = found["node-1"]
    assert one.totals == NodeTotals(reward=0.75, offered=5, used=2, rejected=3, generated_tokens=16)
    assert (one.round, one.step, one.reward, one.problem) == (1, 1, 0.5, "lost")
    assert (found["node-3"].round, found["node-3"].reward, found["node-3"].totals) == (-1, None, NodeTotals())


def test_a_nodes_own_last_word_counts_more_than_the_sums_of_its_files() -> None:
    tallies = Tallies(20)
    for node in ("node-1", "node-2"):
        tallies.submit_reward(node, 0, round_file(reward=0.25))
    last = NodeTotals(reward=0.25, used=4, pass_at_1_end=0.5)
    found = tallies.of({"node-1": None, "node-2": None}, {"node-1": last})
    assert found["node-1"].totals == last
    assert found["node-2"].totals == NodeTotals(reward=0.25, generated_tokens=4)


def test_the_alarm_needs_a_streak_without_any_informative_group() -> None:
    tallies = Tallies(3)
    barren, taught = round_file(informative=0), round_file(informative=1)
    said = []
    for files in (
        {"a": barren, "b": barren},
        {"a": barren, "b": barren},
        {"a": barren, "b": taught},
        {"a": barren, "b": barren},
        {"a": barren},
        {"a": barren, "b": barren},
        {"a": barren, "b": barren},
        {"a": taught, "b": barren},
    ):
        tallies.close_round(files.values(), ["a", "b"])
        said.append((tallies.barren, tallies.learned_nothing))
    assert said == [
        (1, False),
        (2, False),
        (0, False),
        (1, False),
        (2, False),
        (3, True),
        (4, True),
        (0, False),
    ]


def test_votes_count_once_for_known_nodes_other_than_the_voter() -> None:
    tallies = Tallies(3)
    nodes = ["a", "b", "c"]
    for node, vote in {"a": "b", "b": "b", "c": "a", "d": "nobody", "e": None}.items():
        tallies.submit_winners(node, vote)
    assert tallies.close_round([], nodes) == ("a", "b")
    tallies.submit_winners("a", "c")
    assert tallies.close_round([], nodes) == ("c",)
    assert tallies.close_round([], nodes) == ()


def test_a_successor_goes_on_from_the_sums_of_the_log() -> None:
    first = Tallies(3)
    first.submit_reward("node-1", 4, round_file(step=4, reward=0.25, generated_tokens=7))
    first.close_round([round_file(informative=0)], ["node-1"])
    said = first.of({"node-1": None, "node-2": None}, {})
    second = Tallies(3)
    second.restore(said, first.barren)
    assert second.of({"node-1": None, "node-2": None}, {}) == said
    second.submit_reward("node-1", 5, round_file(step=5, reward=0.5, generated_tokens=2))
    one = second.of({"node-1": None}, {})["node-1"]
    assert (one.totals.reward, one.totals.generated_tokens, one.round) == (0.75, 9, 5)
    assert said["node-1"].totals.reward == 0.25
    second.close_round([round_file(informative=0)], ["node-1"])
    assert second.barren == 2
