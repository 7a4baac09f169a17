"""A snapshot as text at two widths, what a driver shows of its own swarms, and no control characters of others."""

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest
from live_for_tests import config, record
from rich.console import Console

from swarm_ray.observe.display import LineDisplay, LiveDisplay, choose_display
from swarm_ray.observe.live_tables import choose, sparkline
from swarm_ray.observe.snapshot import ExperimentSnapshot, NodeSnapshot
from swarm_ray.observe.view import SwarmView, one_line, troubles
from swarm_ray.runtime.worker_view import WorkerView

SILENT = ("silent for 43 s", "24 rounds behind")
NODES = (
    NodeSnapshot("node-0", 36, 37, 0.25, 0.312, 0.391, 2.0, 278.4, 0.2, notes=("resumed at step 30",)),
    NodeSnapshot("node-1", 12, 13, 0.0, None, 0.4, None, None, 43.0, problems=SILENT),
    NodeSnapshot("node-10", -1, 0, seen_s=7.0, by_clocks=True),
)
RUNNING = ExperimentSnapshot(
    "first", "running", label="4 local / 4 external", rounds=60, closed=37, nodes=NODES
)
RUNNING = replace(RUNNING, round_s=2.0, left_s=46.0, reward=0.312, cumulative=18.52)
RUNNING = replace(RUNNING, coordinator="coordinator.47d992a5, epoch 1, last heard of 2.0 s ago")
BARREN = "no group of any node had an advantage for 6 rounds"
RUNNING = replace(RUNNING, rewards=(0.0, 0.1, 0.2, 0.3, 0.4), notes=(BARREN,))
WIDE = """\
first is running  4 local / 4 external
37 of 60 rounds  ████████████████████████░░░░░░░░░░░░░░░░   62%  2.0 s a round  46 s left
reward  ▁▃▅▆█  0.312 in the last 10 rounds, 18.52 in all
coordinator.47d992a5, epoch 1, last heard of 2.0 s ago
no group of any node had an advantage for 6 rounds
node     round  step  reward  mean 10  external  a step  tokens/s    seen
─────────────────────────────────────────────────────────────────────────
node-0      36    37   0.250    0.312       39%   2.0 s       278     now
node-1      12    13   0.000        -       40%       -         -    43 s
node-10      -     0       -        -         -       -         -  ~7.0 s
node-1: silent for 43 s; 24 rounds behind
node-0: resumed at step 30
"""
NARROW = """\
first is running  4 local / 4 external
37 of 60 rounds  ██████░░░░░   62%  2.0 s a round  46 s left
reward  ▁▃▅▆█  0.312 in the last 10 rounds
coordinator.47d992a5, epoch 1, last heard of 2.0 s ago
no group of any node had an advantage for 6 rounds
node     round  reward  mean 10  external  a step    seen
─────────────────────────────────────────────────────────
node-0      36   0.250    0.312       39%   2.0 s     now
node-1      12   0.000        -       40%       -    43 s
node-10      -       -        -         -       -  ~7.0 s
node-1: silent for 43 s; 24 rounds behind
node-0: resumed at step 30
"""


def text(snapshot: ExperimentSnapshot, width: int, **console: object) -> str:
    out = io.StringIO()
    options = {"force_terminal": False, "legacy_windows": False, "force_jupyter": False} | console
    Console(file=out, width=width, **options).print(SwarmView(snapshot))  # type: ignore[arg-type]
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


@pytest.mark.parametrize(("width", "expected"), [(100, WIDE), (60, NARROW)])
def test_a_picture_at_two_widths(width: int, expected: str) -> None:
    assert text(RUNNING, width) == expected


@pytest.mark.parametrize("width", [20, 30, 45, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    long = replace(NODES[0], node="n" * 63)
    lines = text(replace(RUNNING, nodes=(*NODES, long)), width).splitlines()
    assert max(map(len, lines)) <= width
    assert any("node" in line and "round" in line for line in lines)


def test_a_console_without_such_letters_gets_others() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Console(file=out, width=100, force_terminal=False).print(SwarmView(replace(RUNNING, notes=())))
    out.seek(0)
    lines = out.read().splitlines()
    assert lines[1].startswith("37 of 60 rounds  ########################................   62%")
    assert not any(line.startswith("reward ") for line in lines)


@pytest.mark.parametrize("state", ["paused", "waiting", "draining", "finished"])
def test_only_a_swarm_that_runs_has_an_end_in_sight(state: str) -> None:
    assert " left" not in text(replace(RUNNING, state=state, left_s=None, notes=()), 100)
    assert "  - left\n" in text(replace(RUNNING, left_s=None), 100)


def test_what_is_worst_comes_first() -> None:
    over = replace(RUNNING, alarms=("LEARNED NOTHING: for 20 rounds",), result="cumulative reward 9")
    assert text(over, 100).splitlines()[1:3] == ["LEARNED NOTHING: for 20 rounds", "cumulative reward 9"]


def test_names_and_words_of_others_cannot_steer_the_terminal() -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\n[bold]node[/bold]"
    node = NodeSnapshot(evil[:20], 3, problems=(evil,), notes=(evil,))
    said = {"coordinator": evil, "notes": (evil,), "alarms": (evil,)}
    snapshot = replace(RUNNING, experiment=evil, nodes=(node,), **said)
    for shown in (text(snapshot, 100), one_line(snapshot)):
        assert "\x1b" not in shown
        assert "\x07" not in shown
        assert "[bold]node[/bold]" in shown
    assert "\n" not in one_line(snapshot)


def test_figures_of_any_size_are_shown() -> None:
    wild = NodeSnapshot("node-0", 2**62, 2**62, 1e308, float("inf"), 0.5, 1e308, float("inf"), 3e9)
    rewards = (0.1, float("nan"), float("inf"))
    snapshot = replace(RUNNING, nodes=(wild,), rewards=rewards, reward=1e308, left_s=1e300, rounds=1)
    shown = text(snapshot, 100)
    assert "1e+308 in the last 10 rounds" in shown
    assert max(map(len, shown.splitlines()[2:])) <= 100
    assert one_line(snapshot).startswith("first: running, ")
    assert sparkline([1.0, float("nan")], 9, 1.0) == "█▁"


def test_of_many_nodes_the_troubled_and_the_slowest_have_rows() -> None:
    many = [NodeSnapshot(f"node-{i}", 50 - i % 3, step_s=float(i)) for i in range(32)]
    many[30] = replace(many[30], problems=("silent for 9 s",))
    rows, others = choose(many)
    assert len(rows) == 12
    assert [n.node for n in rows] == [f"node-{i}" for i in (2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 30, 31)]
    lines = text(replace(RUNNING, nodes=tuple(many)), 100).splitlines()
    assert "and 20 more, rounds 49 to 50" in lines
    assert lines[-1] == "node-30: silent for 9 s"
    told = troubles([NodeSnapshot(f"n{i}", problems=("lost",)) for i in range(20)])
    assert (told[0], told[12:]) == ("n0: lost", ["and 8 more"])
    assert {n.node for n in rows} | {n.node for n in others} == {n.node for n in many}


def test_one_line_says_what_matters() -> None:
    said = "first: running, 37 of 60 rounds, reward 0.312, 46 s left"
    assert one_line(RUNNING) == f"{said} | {BARREN} | node-1: silent for 43 s; 24 rounds behind"
    assert one_line(ExperimentSnapshot("x", "absent", notes=("waiting",))) == "x: not created yet | waiting"


def test_a_sparkline_has_parts_of_equal_length() -> None:
    assert sparkline([0.0, 0.5, 1.0], 10, 1.0) == "▁▅█"
    assert sparkline([0.0, 0.0, 1.0, 1.0], 2, 1.0) == "▁█"
    assert sparkline([], 5, 1.0) == ""
    assert sparkline([0.0], 5, 0.0) == ""


RECORDS = tuple(record(number, {"node-0": number, "node-1": number}) for number in range(26, 30))
REWARDS, PROBLEMS = tuple(i / 40 for i in range(30)), {"node-1": "gone\x1b[2J [/b]"}
SHARED = WorkerView("first", config(), ("node-0", "node-1"), "running", REWARDS, 30, 310, PROBLEMS)
SHARED = replace(SHARED, records=RECORDS, open_s=1.0)
BASELINE = config(local=8, external=0)
ALONE = WorkerView("first-alone", BASELINE, ("node-0",), "waiting", rewards=(0.0, 0.4), closed=2)
SWARMS_WIDE = """\
swarm                 state       round  a round  left  mean 10  cumulative  external used  curve
────────────────────────────────────────────────────────────────────────────────────────────────────
4 local / 4 external  running  30 of 40    2.0 s  19 s    0.613        30.0            310  ▁▂▃▄▅▆▇█
8 local / 0 external  waiting   2 of 40        -     -    0.200         0.4              0  ▁▅
"""
SWARMS_NARROW = """\
swarm                 state       round  left  curve
─────────────────────────────────────────────────────────
4 local / 4 external  running  30 of 40  19 s  ▁▂▃▃▄▅▆▆▇█
8 local / 0 external  waiting   2 of 40     -  ▁▅
"""


@pytest.mark.parametrize(("width", "expected"), [(100, SWARMS_WIDE), (60, SWARMS_NARROW)])
def test_swarms_side_by_side_at_two_widths_and_one_alone_with_its_nodes(width: int, expected: str) -> None:
    shown = []
    for swarms in ([SHARED.snapshot(), ALONE.snapshot()], [ALONE.snapshot()]):
        out = io.StringIO()
        display = LiveDisplay(Console(file=out, width=width, force_terminal=False))
        display.show(swarms)
        display.close()
        shown.append("".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines()))
    assert expected in shown[0]
    assert "first-alone is waiting  8 local / 0 external" in shown[1]
    assert "\nnode-0 " in shown[1]


def test_lines_say_how_long_it_will_take_and_what_is_wrong() -> None:
    out = io.StringIO()
    display = LineDisplay(Console(file=out, width=300))
    display.show([SHARED.snapshot(), ALONE.snapshot()])
    display.show([SHARED.snapshot(), ALONE.snapshot()])
    assert out.getvalue() == (
        "   0 s  4 local / 4 external: running, round 30 of 40, reward 0.613, 19 s left | "
        "8 local / 0 external: waiting, round 2 of 40, reward 0.200 | 4 local / 4 external: node-1: gone [2J [/b]\n"
    )


def test_the_cumulative_reward_counts_rounds_from_before_a_coordinators_restart() -> None:
    """A restarted coordinator remembers the last 100 rounds; the state records carry the sums of all."""
    newest = (record(599, {"a": 599, "b": 599}),)
    assert replace(SHARED, rewards=(0.5,) * 100, closed=600, records=newest).snapshot().cumulative == 600.0


def test_a_run_goes_on_when_nobody_reads_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `2>&1 | head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream, Path(os.devnull).open("wb") as nowhere:
        monkeypatch.setattr("sys.stderr", stream)
        display = choose_display(show=True)
        for text in ("starting", "going on", "ending"):
            display.step(text)
        display.close()
        monkeypatch.undo()
        os.dup2(nowhere.fileno(), stream.fileno())  # what it still holds cannot be written when it is closed
