"""What a live view computes: seconds per round, time left, speed, shares, the curve of a run, words for troubles."""

from dataclasses import replace

import msgspec
import pytest
from experiments_for_tests import metrics_row
from live_for_tests import beat, record, tally

from swarm_ray.config.schema import PaceConfig
from swarm_ray.experiments.read.liveness import ChangeClock, NodeLiveness, coordinator_alarm
from swarm_ray.experiments.read.status import ExperimentReading
from swarm_ray.observe.diagnosis import diagnosed, result_line, swarm_alarm, swarm_notes
from swarm_ray.observe.folder import RewardCurve
from swarm_ray.observe.snapshot import (
    WINDOW,
    NodeSnapshot,
    extended,
    node_snapshot,
    round_seconds,
    rounds_closed,
    seconds_left,
    swarm_reward,
)
from swarm_ray.records.nodes import NodeTotals
from swarm_ray.records.state import Answers, NodeTally, StageOpen, StateRecord
from swarm_ray.runtime.worker_view import extended_rows, node_of_rows, rounds_seconds

AGAIN = "run the command that started it again to resume"
PACE = PaceConfig(beat_s=2, dead_after_s=20, alone_after_s=120)


def test_a_round_takes_the_median_where_there_are_enough() -> None:
    assert [round_seconds(s) for s in ([1.0, 2.0], [2.0, 1.0, 90.0], [1.0] * 20)] == [None, 2.0, 1.0]


@pytest.mark.parametrize(
    ("state", "left", "round_s", "open_s", "expected"),
    [
        ("running", 10, 2.0, 0.5, 19.5),
        ("running", 10, 2.0, 7.0, 18.0),
        ("running", 10, 2.0, None, 20.0),
        ("running", 10, 2.0, 21.0, None),
        ("running", 10, 0.2, 4.0, 1.8),
        ("running", 10, None, 0.0, None),
        ("running", 0, 2.0, 0.0, None),
        ("paused", 10, 2.0, 0.0, None),
        ("waiting", 10, 2.0, 0.0, None),
    ],
)
def test_the_time_left_is_told_only_where_it_is_known(
    state: str, left: int, round_s: float | None, open_s: float | None, expected: float | None
) -> None:
    assert seconds_left(state, left, round_s, open_s) == pytest.approx(expected)


def test_a_line_is_told_by_the_newest_records() -> None:
    records = tuple(record(i, {"quick": 2 * i, "slow": i // 2}, seconds=4.0) for i in range(5))
    quick, slow = (node_snapshot(name, records, 4) for name in ("quick", "slow"))
    assert (quick.round, quick.step, quick.reward, quick.mean_reward) == (4, 8, 0.5, 0.5)
    assert (quick.step_s, slow.step_s) == (2.0, 8.0)
    assert (quick.tokens_per_s, slow.tokens_per_s) == (50.0, 12.5)
    assert quick.external == 0.5
    assert node_snapshot("quick", records, None).external is None
    assert node_snapshot("quick", records[:1], 4).external is None, "it has learned from nothing yet"
    assert node_snapshot("nobody", records, 4) == NodeSnapshot("nobody")
    assert node_snapshot("quick", (), 4) == NodeSnapshot("quick")
    assert swarm_reward(records) == 0.5


def test_the_window_keeps_each_record_once() -> None:
    records: tuple[StateRecord, ...] = ()
    for number in range(30):
        for _ in range(2):
            records = extended(records, record(number, {"a": number}))
    assert [r.closed.round for r in records if r.closed] == list(range(30 - WINDOW, 30))


def test_rounds_that_are_over_in_every_state() -> None:
    running = record(4, {"a": 4})
    for state in ({}, {"opens": None}, {"opens": None, "closed": None}):
        assert rounds_closed(msgspec.structs.replace(running, **state)) == 5
    assert rounds_closed(StateRecord("waiting", 60, None, None, {})) == 0


def test_the_curve_has_equal_parts_however_few_records_are_known() -> None:
    curve = RewardCurve()
    assert curve.values() == ()
    for number in (0, 9, 10, 11, 19):
        sums = NodeTotals(reward=0.1 * min(number + 1, 10) + 0.5 * max(number - 9, 0))
        curve.add(StateRecord("running", 60, None, None, {"a": NodeTally(number, number, 0.0, sums)}))
    assert curve.values(4) == pytest.approx((0.1, 0.1, 0.5, 0.5))
    assert len(curve.values()) == 5
    curve.add(record(3, {"a": 3}))
    assert len(curve.values()) == 5, "a record of the past adds nothing"
    for number in range(20, 3000):
        curve.add(record(number, {"a": number}))
    assert len(curve._points) <= 240
    assert curve.values()[-1] == pytest.approx(0.5)


def test_rows_of_this_machine_tell_the_same_where_others_coordinate() -> None:
    rows: tuple = ()
    for number in range(6):
        both = [metrics_row(node, number) for node in ("node-0", "node-1")]
        other = msgspec.structs.replace(metrics_row("node-2", number), seconds={"generate": 9.0})
        for _ in range(2):
            rows = extended_rows(rows, [*both, other])
    assert len(rows) == 18
    assert rounds_seconds(rows) == [9.0] * 4
    line = node_of_rows("node-0", rows)
    assert (line.round, line.step, line.step_s, line.external) == (5, 6, 6.0, 0.5)
    assert node_of_rows("node-9", rows) == NodeSnapshot("node-9")


def test_silence_is_told_by_wall_clocks_until_something_changes() -> None:
    now = 100.0
    changes = ChangeClock(lambda: now)
    assert changes.silence("a") is None
    changes.note("a", 1, lambda: 3600.0)
    changes.note("b", 1, lambda: None)
    now = 110.0
    changes.note("a", 1, lambda: 0.0)
    assert (changes.silence("a"), changes.by_clocks("a"), changes.silence("b")) == (3610.0, True, None)
    changes.note("a", 2, lambda: 3600.0)
    now = 112.0
    assert (changes.silence("a"), changes.by_clocks("a")) == (2.0, False)


@pytest.mark.parametrize(
    ("said", "seen_s", "expected"),
    [
        ({}, 1.0, ()),
        ({}, 43.0, ("silent for 43 s",)),
        ({"round": 7}, 1.0, ("2 rounds behind",)),
        ({"round": 8}, 1.0, ("1 round behind",)),
        ({"alone": True}, 1.0, ("trains alone: no heartbeat from a coordinator",)),
        ({"unanswered": (3, 4, 9)}, 1.0, ("no answer yet to its files of round 3 to 4",)),
        ({"unanswered": (9,)}, 1.0, ()),
        ({"problem": "loss is nan"}, 1.0, ("loss is nan",)),
        ({"round": 2, "done": True}, 99.0, ()),
        (None, None, ("its beat cannot be read: torn",)),
    ],
)
def test_what_is_wrong_with_a_node_is_said_in_words(
    said: dict[str, object] | None, seen_s: float | None, expected: tuple[str, ...]
) -> None:
    now = StateRecord("running", 60, None, StageOpen(10, 0, (), 0.0, 60.0), {})
    torn = "" if said is not None else "its beat cannot be read: torn"
    found = NodeLiveness("x", None if said is None else beat(**said), torn, seen_s)
    assert diagnose(NodeSnapshot("a"), found, now).problems == expected


def diagnose(
    line: NodeSnapshot, found: NodeLiveness | None, record: StateRecord, pace: PaceConfig = PACE
) -> NodeSnapshot:
    """By a reading of a folder that says nothing but this."""
    nodes = {line.node: found} if found else {}
    told = (None, record, None, None, pace, None, nodes, None, None)
    return diagnosed(line, ExperimentReading(*told, coordinator_by_clocks=False))  # type: ignore[arg-type]


def test_a_silent_node_has_no_speed_and_nobody_lags_in_async_pace() -> None:
    now = StateRecord("running", 60, None, StageOpen(10, 0, (), 0.0, 60.0), {})
    line = NodeSnapshot("a", 5, 6, step_s=2.0, tokens_per_s=9.0)
    silent = diagnose(line, NodeLiveness("x", beat(round=6), seen_s=43.0), now)
    assert (silent.step_s, silent.tokens_per_s, silent.seen_s) == (None, None, 43.0)
    free = PaceConfig(mode="async", staleness=4)
    assert diagnose(line, NodeLiveness("x", beat(round=5), seen_s=1.0), now, free).problems == ()
    behind = diagnose(replace(line, round=3), NodeLiveness("x", beat(round=4), seen_s=1.0), now, free)
    assert behind.problems == ("5 rounds behind",)


def test_an_ended_swarm_has_no_silent_nodes_but_lost_files() -> None:
    over = StateRecord("finished", 60, None, None, {}, answers=Answers(expired={"a": (58, 59)}))
    line = diagnose(NodeSnapshot("a", 59), NodeLiveness("x", beat(), seen_s=9999.0), over)
    assert line.problems == ("its files of round 58 to 59 never arrived",)
    assert diagnose(NodeSnapshot("b"), None, over).problems == ()


@pytest.mark.parametrize(
    ("state", "seen_s", "alone", "silent", "expected"),
    [
        ("running", 19.0, 0, 0, ""),
        ("running", None, 0, 0, ""),
        ("finished", 900.0, 0, 0, ""),
        ("running", 40.0, 0, 1, "40 s: its nodes wait, and train alone in 80 s"),
        ("paused", 300.0, 0, 1, "5.0 min: its nodes wait for a coordinator to come back"),
        ("running", 300.0, 2, 1, "5.0 min: 2 of 4 nodes train alone until a coordinator comes back"),
        ("draining", 7200.0, 0, 4, f"2.0 h, nor of any node: {AGAIN}"),
    ],
)
def test_what_it_means_that_no_coordinator_is_heard_of(
    state: str, seen_s: float | None, alone: int, silent: int, expected: str
) -> None:
    silences = [0.0 if i < 4 - silent else 21.0 for i in range(4)]
    nodes = [NodeLiveness("x", beat(alone=i < alone), seen_s=s) for i, s in enumerate(silences)]
    told = coordinator_alarm(state, seen_s, PACE, nodes)
    assert told == (f"no heartbeat of a coordinator for {expected}" if expected else "")


def test_what_is_said_of_the_swarm() -> None:
    barren = msgspec.structs.replace(record(9, {"a": 9}), barren=7)
    assert swarm_notes(barren) == ["in the last 7 rounds no group of any node had an advantage"]
    long = record(29, {"a": 29})
    nothing = msgspec.structs.replace(long, learned_nothing=True, barren=20, state="paused")
    assert swarm_notes(nothing) == ["no further round opens until somebody asks it to resume"]
    alarm = "LEARNED NOTHING: in the last 20 rounds no group of any node had an advantage"
    assert swarm_alarm(nothing) == alarm
    short = msgspec.structs.replace(record(3, {"a": 3}), learned_nothing=True, barren=4)
    assert swarm_alarm(short) == "LEARNED NOTHING: in all 4 rounds no group of any node had an advantage"
    assert swarm_alarm(barren) == ""


def test_what_came_out_of_it() -> None:
    measured = [
        NodeTally(9, 9, 0.5, NodeTotals(10.0, generated_tokens=4000, pass_at_1_start=0.1, pass_at_1_end=0.5)),
        NodeTally(9, 9, 0.5, NodeTotals(20.5, generated_tokens=9000, pass_at_1_start=0.2, pass_at_1_end=0.3)),
        NodeTally(-1, 0, None, NodeTotals()),
    ]
    assert result_line(measured) == "cumulative reward 30.50, pass@1 0.150 -> 0.400, 13k tokens"
    assert result_line([tally(3, 3)]) == "cumulative reward 2.00, 400 tokens"
    assert result_line(measured[2:]) == ""
