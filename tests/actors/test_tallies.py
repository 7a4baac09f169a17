"""Sums per node, and the streak of rounds that teach nothing."""

from folder_for_tests import round_file

from actors.coordinator.closing import Tallies
from swarm_ray.records.nodes import NodeTotals
from swarm_ray.records.rollouts import StepCounters


def test_sums_are_of_the_files_and_of_the_steps_before_them_until_a_node_says_its_last_word() -> None:
    tallies = Tallies(20)
    counters = StepCounters(offered=5, used=2, rejected={"other text": 1, "held out": 2})
    tallies.submit_reward("node-1", 0, round_file(step=0, reward=0.25, generated_tokens=7))
    tallies.submit_reward("node-1", 1, round_file(step=1, reward=0.5, generated_tokens=9, previous=counters))
    tallies.submit_reward("node-2", 1, round_file(step=0, reward=0.125, generated_tokens=1))
    last = NodeTotals(reward=0.25, used=4, pass_at_1_end=0.5)
    found = tallies.of({"node-2": None, "node-1": "lost", "node-3": None}, {"node-2": last})
    assert list(found) == ["node-1", "node-2", "node-3"]
    one = found["node-1"]
    assert one.totals == NodeTotals(reward=0.75, offered=5, used=2, rejected=3, generated_tokens=16)
    assert (one.round, one.step, one.reward, one.problem) == (1, 1, 0.5, "lost")
    assert found["node-2"].totals == last
    assert (found["node-3"].round, found["node-3"].reward, found["node-3"].totals) == (-1, None, NodeTotals())


def test_the_sums_of_the_log_are_continued_and_not_changed() -> None:
    first, second = Tallies(3), Tallies(3)
    first.submit_reward("node-1", 4, round_file(step=4, reward=0.25, generated_tokens=7))
    said = first.of({"node-1": None, "node-2": None}, {})
    second.restore(said, 1)
    assert second.of({"node-1": None, "node-2": None}, {}) == said
    second.submit_reward("node-1", 5, round_file(step=5, reward=0.5, generated_tokens=2))
    one = second.of({"node-1": None}, {})["node-1"]
    assert (one.totals.reward, one.totals.generated_tokens, one.round) == (0.75, 9, 5)
    assert said["node-1"].totals.reward == 0.25


def test_the_alarm_needs_a_streak_without_any_informative_group() -> None:
    tallies = Tallies(3)
    said = []
    for informative in ((0, 0), (0, 0), (0, 1), (0, 0), (0,), (0, 0), (0, 0), (1, 0)):
        tallies.close_round([round_file(informative=count) for count in informative], [])
        said.append((tallies.barren, tallies.learned_nothing))
    barren = [1, 2, 0, 1, 2, 3, 4, 0]
    assert said == [(count, count >= 3) for count in barren]
