"""Where nothing can be printed: a line and status 2, or silence where there is nobody to tell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from experiments_for_tests import finished

from swarm_ray.cli import main
from swarm_ray.config.load import load_config

FULL = "/dev/full"


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A whole run, named `done`."""
    finished(tmp_path, "done", load_config(overrides=["nodes=2", "rounds=2"]))
    return str(tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["list", "--help"],
        ["list", "--root", "ROOT"],
        ["list", "--root", "ROOT", "--json"],
        ["metrics", "done", "--root", "ROOT", "--csv", "-"],
        ["report", "done", "--root", "ROOT", "-o", "ROOT/page.html"],
        ["watch", "done", "--root", "ROOT"],
    ],
    ids=" ".join,
)
def test_a_full_disk_is_one_line_and_status_2(
    words: list[str], root: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path(FULL).open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main([word.replace("ROOT", root) for word in words]) == 2
    assert capsys.readouterr().err == (
        "swarm-ray: standard output could not be written (No space left on device); send it elsewhere\n"
    )


def test_standard_output_that_is_closed_is_one_line(
    root: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["list", "--root", root]) == 2
    assert "standard output could not be written (it is closed)" in capsys.readouterr().err


def test_where_nobody_can_be_told_the_status_tells(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["list", "--root", f"{root}/nowhere"]) == 2
    with Path(FULL).open("w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert main(["list", "--root", f"{root}/nowhere"]) == 2


def test_the_end_of_the_process_adds_nothing() -> None:
    """Python flushes what it still holds when it ends, and would complain of it."""
    with Path(FULL).open("w") as full:
        found = subprocess.run(
            [sys.executable, "-m", "swarm_ray.cli", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=os.environ | {"PYTHONUNBUFFERED": ""},
        )
    assert (found.returncode, found.stderr.count("\n")) == (2, 1)
