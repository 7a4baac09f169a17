"""The command `doctor`, as users start it: its exit status, its words, and two of it over one folder."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from doctored_for_tests import left_in

from swarm_ray.cli import main

COMMAND = [sys.executable, "-m", "swarm_ray.cli", "doctor", "--root"]


def test_a_folder_is_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "with a space"
    root.mkdir()
    assert main(["doctor", "--root", str(root)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"folder {root}\n")
    assert "at 100 files" in said.out
    assert "at 1000 files" in said.out
    assert "pace.dead_after_s=20" in said.out
    assert said.err.startswith("swarm-ray: writing 1000 small files")


def test_a_folder_that_is_not_there_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--root", str(tmp_path / "absent"), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["level"] == "FAIL"
    assert found["findings"][-1]["check"] == "folder"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--root", "gs://bucket"],
        *(
            ["--root", ".", "--pair", *words]
            for words in (["A B"], ["a", "--rounds", "0"], ["a", "--rounds", "5000"])
        ),
        *(["--root", ".", *words] for words in (["--wait", "x"], ["stray"])),
        [],
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1


def test_nobody_comes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--root", str(tmp_path), "--pair", "first", "--wait", "1"]) == 1
    said = capsys.readouterr()
    assert "FAIL other machine  nobody answered in" in said.out
    assert "waiting for the other machine in" in said.err


def test_two_processes_meet(tmp_path: Path) -> None:
    command = [*COMMAND, str(tmp_path), "--pair", "first", "--rounds", "3", "--wait", "60", "--json"]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    results = [process.communicate(timeout=100) for process in both]
    assert [process.returncode for process in both] == [0, 0], results
    found = [json.loads(out) for out, _ in results]
    for one in found:
        checks = {finding["check"]: finding for finding in one["findings"]}
        assert checks["visibility"]["figures"]["one_way_samples"] == 3
        assert checks["exclusive names"]["level"] == "OK"
        assert checks["whole files"]["level"] != "FAIL"
        assert checks["other machine"]["level"] == "WARN", "it is the same machine"
        assert Path(one["report"]).is_file()
    assert found[0]["settings"] == found[1]["settings"]
    assert left_in(tmp_path) == []


def test_an_interrupt_ends_in_order(tmp_path: Path) -> None:
    command = [*COMMAND, str(tmp_path), "--pair", "first"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("swarm-ray: waiting for the other machine in ")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "swarm-ray: interrupted\n")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
