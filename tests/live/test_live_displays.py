"""What a driver shows of its own swarms: one as a picture, several as rows, or lines where nothing can be redrawn."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest
from live_for_tests import config, record
from rich.console import Console

from swarm_ray.observe.display import LineDisplay, choose_display
from swarm_ray.observe.live_tables import swarm_table
from swarm_ray.runtime.worker_view import WorkerView

RECORDS = tuple(record(number, {"node-0": number, "node-1": number}) for number in range(26, 30))
SHARED = WorkerView(
    "first",
    config(),
    ("node-0", "node-1"),
    "running",
    rewards=tuple(i / 40 for i in range(30)),
    closed=30,
    used=310,
    problems={"node-1": "gone\x1b[2J [/b]"},
    records=RECORDS,
    open_s=1.0,
)
ALONE = WorkerView(
    "first-alone", config(local=8, external=0), ("node-0",), "waiting", rewards=(0.0, 0.4), closed=2
)
WIDE = """\
swarm                 state       round  a round  left  mean 10  cumulative  external used  curve
────────────────────────────────────────────────────────────────────────────────────────────────────
4 local / 4 external  running  30 of 40    2.0 s  19 s    0.613        30.0            310  ▁▂▃▄▅▆▇█
8 local / 0 external  waiting   2 of 40        -     -    0.200         0.4              0  ▁▅
"""
NARROW = """\
swarm                 state       round  left  curve
─────────────────────────────────────────────────────────
4 local / 4 external  running  30 of 40  19 s  ▁▂▃▃▄▅▆▆▇█
8 local / 0 external  waiting   2 of 40     -  ▁▅
"""


@pytest.mark.parametrize(("width", "expected"), [(100, WIDE), (60, NARROW)])
def test_swarms_side_by_side_at_two_widths(width: int, expected: str) -> None:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False).print(
        swarm_table([SHARED.snapshot(), ALONE.snapshot()], width)
    )
    assert "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines()) == expected


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
    remembered = replace(
        SHARED, rewards=(0.5,) * 100, closed=600, records=(record(599, {"a": 599, "b": 599}),)
    )
    assert remembered.snapshot().cumulative == 600.0


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
