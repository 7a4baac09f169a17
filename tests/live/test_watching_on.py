"""Watching continues: before an experiment exists, while its folder is away, until it has ended or an interrupt."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from experiments_for_tests import finished
from live_for_tests import NODES, config, play_round, underway
from rich.console import Console

from swarm_ray.cli.main import main
from swarm_ray.errors import UserError
from swarm_ray.observe.display import LineDisplay
from swarm_ray.observe.snapshot import ExperimentSnapshot
from swarm_ray.observe.watch import Watcher, keep_watching, watch


def test_an_experiment_that_is_to_come_is_waited_for_whichever_it_is(tmp_path: Path) -> None:
    named, any_ = Watcher(str(tmp_path), "grown"), Watcher(str(tmp_path), None)
    for watcher, what in ((named, "experiment 'grown'"), (any_, "an experiment")):
        seen = watcher.look()
        assert (seen.state, seen.ended) == ("absent", False)
        assert seen.notes == (f"waiting for {what} in {tmp_path}: no coordinator has created it yet",)
    underway(tmp_path, 3)
    assert [watcher.look().closed for watcher in (named, any_)] == [3, 3]


def test_a_folder_out_of_reach_leaves_the_view_and_comes_back(tmp_path: Path) -> None:
    root = tmp_path / "drive"
    experiment = underway(root, 5)
    watcher = Watcher(str(root), "grown")
    before = watcher.look()
    root.rename(tmp_path / "away")
    seen = watcher.look()
    assert (seen.closed, seen.nodes, seen.left_s) == (5, before.nodes, None)
    (alarm,) = seen.alarms
    assert alarm.startswith(f"out of reach, looking again: {root} cannot be reached")
    root.mkdir()
    why = f"no experiment 'grown' in {root}; mount the folder, if it was mounted"
    assert watcher.look().alarms == (f"out of reach, looking again: {why}",)
    root.rmdir()
    (tmp_path / "away").rename(root)
    play_round(experiment, 5, NODES)
    seen = watcher.look()
    assert (seen.closed, seen.alarms) == (6, ())


def test_one_that_is_made_anew_is_followed(tmp_path: Path) -> None:
    underway(tmp_path, 5)
    watcher = Watcher(str(tmp_path), "grown")
    watcher.look()
    shutil.rmtree(tmp_path / "experiments")
    assert watcher.look().alarms[0].startswith("out of reach, looking again: ")
    underway(tmp_path, 2)
    assert watcher.look().closed == 2


def test_watching_ends_with_the_experiment(tmp_path: Path) -> None:
    experiment, out = underway(tmp_path, 5), io.StringIO()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            experiment.finish()

    display = LineDisplay(Console(file=out, width=300))
    keep_watching(Watcher(str(tmp_path), "grown"), display, 7.0, sleep=sleep)
    assert slept == [7.0] * 3
    began, first, last = out.getvalue().splitlines()
    assert began == "   0 s  reading the folder"
    assert first.startswith("   0 s  grown: running, 5 of 40 rounds, reward 0.020")
    assert last.endswith(
        "grown: finished, 5 of 40 rounds, reward 0.020 | cumulative reward 0.30, "
        "pass@1 0.100 -> 0.500, 1500 tokens"
    )


def test_watching_ends_earlier_when_told_to_or_interrupted(tmp_path: Path) -> None:
    experiment = underway(tmp_path, 5)
    watcher, display = Watcher(str(tmp_path), "grown"), LineDisplay(Console(file=io.StringIO()))
    asked: list[ExperimentSnapshot] = []

    def until(snapshot: ExperimentSnapshot) -> bool:
        asked.append(snapshot)
        return snapshot.closed >= 8

    keep_watching(watcher, display, 1.0, until, sleep=lambda _: play_round(experiment, 4 + len(asked), NODES))
    assert [snapshot.closed for snapshot in asked] == [5, 6, 7, 8]

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    keep_watching(watcher, display, 1.0, sleep=interrupt)


@pytest.mark.parametrize("every_s", [0.0, -1.0, float("inf"), float("nan")])
def test_seconds_between_looks_are_checked(tmp_path: Path, every_s: float) -> None:
    with pytest.raises(UserError, match="give a number above 0"):
        watch(str(tmp_path), "grown", every_s=every_s)


def test_mistakes_are_told_at_the_first_look(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        Watcher(str(tmp_path / "none"), "grown").look()
    with pytest.raises(UserError, match="cannot name an experiment"):
        Watcher(str(tmp_path), "Not A Name")


def test_once_prints_a_picture_and_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(tmp_path, "done", config(rounds=30))
    assert main(["watch", "--root", str(tmp_path), "--once"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "done is finished  4 local / 4 external"
    assert lines[1].startswith("cumulative reward ")
    assert lines[2].startswith("30 of 30 rounds  ████")
    assert [line.split()[:2] for line in lines if line.startswith("node-")] == [
        [node, "29"] for node in NODES
    ]
