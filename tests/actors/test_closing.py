"""When a stage is over, what is summed up then, and the copies for people that are written of it."""

import json
import math

import msgspec
import pytest
from folder_for_tests import Folder, closed, opens
from hypothesis import given
from hypothesis import strategies as st

from actors.coordinator.closing import Tallies, stage_is_over
from actors.coordinator.round_keeper import write_copies
from swarm_ray.config.schema import PaceConfig
from swarm_ray.records.nodes import NodeTotals
from swarm_ray.records.rollouts import StepCounters
from swarm_ray.records.state import StateRecord

paces = st.builds(
    lambda strategy, share, low, more: PaceConfig(
        strategy=strategy, share=share, min_s=low, max_s=low + more
    ),
    st.sampled_from(["completion", "time", "hybrid"]),
    st.floats(0.01, 1),
    st.floats(0, 50),
    st.floats(0.1, 50),
)


@given(paces, st.integers(0, 8), st.integers(0, 8), st.integers(0, 8), st.floats(0, 200), st.floats(0, 100))
def test_each_strategy_closes_by_its_own_rule(
    pace: PaceConfig, accepted: int, rejected: int, pending: int, seconds: float, more: float
) -> None:
    submitted = accepted + rejected
    living = submitted + pending

    def over(living: int = living, accepted: int = accepted, seconds: float = seconds) -> bool:
        return stage_is_over(pace, living=living, submitted=submitted, accepted=accepted, seconds=seconds)

    assert not over(accepted=0), "a stage with nothing in it stays open"
    assert over(seconds=pace.max_s) == (accepted > 0), "after the longest time anything is enough"
    assert not over() or over(seconds=seconds + more), "waiting never opens it again"
    assert not over() or over(living=max(submitted, living - 1)), "a death never holds it up"
    early, enough = min(seconds, pace.max_s / 2), submitted >= math.ceil(pace.share * living)
    expected = {"completion": enough, "hybrid": enough and early >= pace.min_s, "time": False}
    assert over(seconds=early) == (accepted > 0 and expected[pace.strategy])


@pytest.mark.parametrize(
    ("share", "submitted", "over"),
    [(1.0, 3, False), (1.0, 4, True), (0.5, 1, False), (0.5, 2, True), (0.51, 2, False), (0.01, 1, True)],
)
def test_a_share_of_four_living_members(share: float, submitted: int, over: bool) -> None:
    pace = PaceConfig(strategy="completion", share=share)
    assert stage_is_over(pace, living=4, submitted=submitted, accepted=submitted, seconds=1.0) == over


def test_sums_are_of_the_files_and_of_the_steps_before_them_until_a_node_says_its_last_word() -> None:
    tallies = Tallies(20)
    counters = StepCounters(offered=5, used=2, rejected={"other text": 1, "held out": 2})
    tallies.submit_reward("node-1", (0, 0), 0.25, 7, None)
    tallies.submit_reward("node-1", (1, 1), 0.5, 9, counters)
    tallies.submit_reward("node-2", (1, 0), 0.125, 1, None)
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
    first.submit_reward("node-1", (4, 4), 0.25, 7, None)
    said = first.of({"node-1": None, "node-2": None}, {})
    second.restore(said, 1)
    assert second.of({"node-1": None, "node-2": None}, {}) == said
    second.submit_reward("node-1", (5, 5), 0.5, 2, None)
    one = second.of({"node-1": None}, {})["node-1"]
    assert (one.totals.reward, one.totals.generated_tokens, one.round) == (0.75, 9, 5)
    assert said["node-1"].totals.reward == 0.25


def test_the_alarm_needs_a_streak_without_any_informative_group() -> None:
    tallies = Tallies(3)
    said = []
    for informative in ((0, 0), (0, 0), (0, 1), (0, 0), (0,), (0, 0), (0, 0), (1, 0)):
        tallies.close_round(informative, [])
        said.append((tallies.barren, tallies.learned_nothing))
    barren = [1, 2, 0, 1, 2, 3, 4, 0]
    assert said == [(count, count >= 3) for count in barren]


def read(folder: Folder, key: str) -> object:
    return json.loads((folder.root / key).read_text())


def test_the_current_state_says_who_is_in_the_open_round(folder: Folder) -> None:
    record = StateRecord("running", 9, None, opens(4, "node-1", "node-2"), {})
    write_copies(folder.address.open(), record)
    told = read(folder, folder.paths.current_state)
    assert isinstance(told, dict)
    assert told.pop("written_at") > "2026"
    assert told == {
        "state": "running",
        "round": 4,
        "stage": 0,
        "rounds": 9,
        "members": ["node-1", "node-2"],
        "note": "",
    }
    assert (folder.root / folder.paths.current_state).read_text().count("\n") > 5


def test_rewards_and_winners_of_the_round_that_closed_lie_in_a_file_each(folder: Folder) -> None:
    ended = msgspec.structs.replace(closed(501), rewards={"node-1": 0.25}, winners=("node-2",))
    for note in ("", "again"):
        write_copies(
            folder.address.open(), StateRecord("running", 999, ended, opens(502, "node-1"), {}, note)
        )
    assert read(folder, folder.paths.rewards(501)) == {"node-1": 0.25}
    assert read(folder, folder.paths.winners(501)) == ["node-2"]
    assert folder.paths.rewards(501).endswith("rewards/000001/r000501.json")
