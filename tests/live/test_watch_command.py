"""`swarm-ray watch` as a user runs it: in a terminal, in a pipe, once, and with mistakes."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from experiments_for_tests import FakeExperiment, finished
from live_for_tests import NODES, config, play_round, underway

from swarm_ray.cli import main

COMMAND = [sys.executable, "-m", "swarm_ray.cli", "watch"]
WITHIN_S = 60.0
_STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """The command in a terminal of so many columns."""

    def __init__(self, words: list[str], columns: int = 100) -> None:
        self._ours, theirs = pty.openpty()
        environment = {**os.environ, "COLUMNS": str(columns), "LINES": "40", "TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            [*COMMAND, *words], stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=environment
        )
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
    assert captured.out.startswith(
        "   0 s  reading the folder\n   0 s  done: finished, 12 of 12 rounds, reward 0."
    )
    assert captured.out.count("\n") == 2


def test_a_reader_that_goes_ends_it_without_a_word(tmp_path: Path) -> None:
    underway(tmp_path, 5)
    command = [*COMMAND, "grown", "--root", str(tmp_path), "--every", "0.2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().endswith(b"reading the folder\n")
        process.stdout.close()
        assert process.wait(WITHIN_S) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


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
