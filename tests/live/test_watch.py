"""`watch` in a terminal and a pipe: before an experiment exists, while its folder is away, until it ends."""

import io
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from experiments_for_tests import FakeExperiment, finished
from live_for_tests import NODES, config, play_round, underway
from rich.console import Console

from swarm_ray.cli.main import main
from swarm_ray.errors import UserError
from swarm_ray.observe.display import LineDisplay
from swarm_ray.observe.snapshot import ExperimentSnapshot
from swarm_ray.observe.watch import Watcher, keep_watching, watch

COMMAND = [sys.executable, "-m", "swarm_ray.cli", "watch"]
WITHIN_S = 60.0
_STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """The command in a terminal of so many columns."""

    def __init__(self, words: list[str], columns: int = 100) -> None:
        self._ours, theirs = pty.openpty()
        environment = {**os.environ, "COLUMNS": str(columns), "LINES": "40", "TERM": "xterm-256color"}
        streams = {"stdin": theirs, "stdout": theirs, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen([*COMMAND, *words], **streams, env=environment)
        os.close(theirs)
        self.raw = ""

    @property
    def text(self) -> str:
        return _STEERING.sub("", self.raw).replace("\r", "")

    def expect(self, text: str) -> None:
        """Read until `text` was shown after what was expected before."""
        began = len(self.text)
        deadline = time.monotonic() + WITHIN_S
        while text not in self.text[max(0, began - 200) :]:
            assert time.monotonic() < deadline, f"{text!r} was not shown in {self.text[-2000:]!r}"
            self._read()

    def end(self) -> str:
        """Wait for the end; answers what stands on standard error."""
        deadline = time.monotonic() + WITHIN_S
        while self._read():
            assert time.monotonic() < deadline
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            said = stream.read().decode()
        self.process.wait(WITHIN_S)
        os.close(self._ours)
        return said

    def _read(self) -> bool:
        if not select.select([self._ours], [], [], 1.0)[0]:
            return True
        try:
            data = os.read(self._ours, 1 << 16)
        except OSError:  # so a terminal says that nobody has it open any more
            return False
        self.raw += data.decode(errors="replace")
        return bool(data)


def test_a_folder_that_grows_is_followed_in_a_terminal_until_an_interrupt(tmp_path: Path) -> None:
    terminal = Terminal(["grown", "--root", str(tmp_path), "--every", "0.2"], columns=60)
    try:
        terminal.expect("waiting for experiment 'grown'")
        experiment = underway(tmp_path, 5)
        terminal.expect("5 of 40 rounds")
        terminal.expect("node-2")
        for number in range(5, 9):
            play_round(experiment, number, NODES)
        terminal.expect("9 of 40 rounds")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == ""
    finally:
        terminal.process.kill()
    assert terminal.process.returncode == 0, "an interrupt is the ordinary way out"
    assert "\x1b[?25h" in terminal.raw, "the cursor is shown again"
    assert "mean 10" in terminal.text
    assert "tokens/s" not in terminal.text, "no room for it in 60 columns"


def test_in_a_pipe_it_says_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(tmp_path, "done", config(rounds=12))
    assert main(["watch", "done", "--root", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    began, ended = captured.out.splitlines()
    assert began == "   0 s  reading the folder"
    assert ended.startswith("   0 s  done: finished, 12 of 12 rounds, reward 0.")


def test_a_reader_that_goes_ends_it_without_a_word(tmp_path: Path) -> None:
    underway(tmp_path, 5)
    command = [*COMMAND, "grown", "--root", str(tmp_path), "--every", "0.2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline().endswith(b"reading the folder\n")
            process.stdout.close()
            assert process.wait(WITHIN_S) == 0
            assert process.stderr.read() == b""
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nope", "--once"], "no experiment 'nope' in "),
        (["No Name"], "'No Name' cannot name an experiment"),
        (["one", "two"], "watch shows one experiment, not 2"),
        (["one", "--every", "0"], "0 seconds between two updates are not possible"),
        (["one", "--every", "often"], "argument --every: invalid float value: 'often'"),
        (["one", "--often"], "no such argument: --often"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeExperiment(tmp_path, "grown", config())
    assert main(["watch", *words, "--root", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"swarm-ray: {said}")
    assert captured.err.count("\n") == 1


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
    result = "cumulative reward 0.30, pass@1 0.100 -> 0.500, 1500 tokens"
    assert last.endswith(f"grown: finished, 5 of 40 rounds, reward 0.020 | {result}")


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


def test_mistakes_are_told_at_the_first_look(tmp_path: Path) -> None:
    for every_s in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(UserError, match="give a number above 0"):
            watch(str(tmp_path), "grown", every_s=every_s)
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
    rows = [line.split()[:2] for line in lines if line.startswith("node-")]
    assert rows == [[node, "29"] for node in NODES]
