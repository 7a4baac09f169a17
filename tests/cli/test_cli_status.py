"""The commands that only read: what they print, and their exit status, also where nothing can be printed."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import yaml
from experiments_for_tests import FakeExperiment, finished

from swarm_ray.cli import main
from swarm_ray.config.load import load_config, presets
from swarm_ray.experiments import list_experiments

FULL = "/dev/full"
WATCH = """
import sys
from swarm_ray.cli import main
code = main()
heavy = [m for m in ("torch", "ray", "transformers", "matplotlib") if m in sys.modules]
sys.stderr.write(f"loaded {heavy}\\n")
sys.exit(code)
"""


@pytest.fixture
def root(tmp_path: Path) -> str:
    """Two experiments: `shared` has ended, `alone` is under way."""
    finished(tmp_path, "shared", load_config(overrides=["nodes=2", "rounds=2"]))
    alone = load_config(overrides=["nodes=2", "rounds=2", "local=8", "external=0"])
    FakeExperiment(tmp_path, "alone", alone).close(0, {"node-0": 0.5, "node-1": 0.25})
    return str(tmp_path)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The line on standard error, with nothing on standard output."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("swarm-ray: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_status_shows_a_table_of_what_is_under_way(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--root", root]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("alone is running: round 1, 2 rounds in all\n")
    assert "node-1" in captured.out
    assert captured.err == ""


def test_status_as_json_is_one_document_and_loads_neither_torch_nor_ray(root: str) -> None:
    command = [sys.executable, "-c", WATCH, "status", "--root", root, "--experiment", "shared", "--json"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    status = json.loads(found.stdout)
    assert (status["experiment"], status["state"], status["rounds"]) == ("shared", "finished", 2)
    assert [node["id"] for node in status["nodes"]] == ["node-0", "node-1"]
    assert found.stderr == "loaded []\n"


def test_compare_is_one_document_or_a_table(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "alone", "--root", root, "--json", "shared"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(c["experiment"], c["external"]) for c in found] == [("alone", 0), ("shared", 4)]
    assert found[0]["cumulative_reward"] == 0.75
    assert main(["compare", "--root", root, "shared", "alone"]) == 0
    assert "vs 8/0" in capsys.readouterr().out


def test_list_shows_every_experiment(root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--root", root]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [["alone", "running"], ["shared", "finished"]]
    assert main(["list", "--root", root, "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found == msgspec.to_builtins(list_experiments(root))
    told = [(one["name"], one["state"], one["external"]) for one in found]
    assert told == [("alone", "running", 0), ("shared", "finished", 4)]
    (tmp_path / "none").mkdir()
    assert main(["list", "--root", str(tmp_path / "none"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize("preset", presets())
def test_config_prints_what_loads(preset: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["config", "--preset", preset, "rounds=7", "grpo.learning_rate=1e-4"]) == 0
    text = capsys.readouterr().out
    assert yaml.safe_load(text)["rounds"] == 7
    (tmp_path / "mine.yaml").write_text(text)
    assert main(["config", "--config", str(tmp_path / "mine.yaml")]) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "required: COMMAND"),
        ("stat", "invalid choice: 'stat'"),
        ("status", "required: --root"),
        ("status --root ROOT --experiment shred", "there are alone, shared"),
        ("status --root ROOT --experiment ../x", "cannot name an experiment"),
        ("status --root ROOT extra", "no such argument: extra"),
        ("status --root ROOT --jsn", "no such argument: --jsn"),
        ("status --ro ROOT", "required: --root"),
        ("list --root ROOT/nowhere", "does not exist"),
        ("list --root s3://bucket", "local paths only"),
        ("compare --root ROOT", "required: EXPERIMENT"),
        ("compare --root ROOT shared nothing", "no experiment 'nothing'"),
        ("config --preset papr", "did you mean paper?"),
        ("config rond=5", "did you mean"),
        ("config rounds", "expected key=value"),
        ("config rounds=0", "rounds: 0 is not possible"),
        ("config --config ROOT/none.yaml", "none.yaml"),
        ("simulate --rounds five", "rounds: "),
        ("simulate --rounds", "--rounds: expected one argument"),
        ("simulate --rounds 5 rounds=6", "--rounds 5 and rounds=6 differ"),
        ("simulate --seed -1", "seed: -1 is not possible"),
        ("work --root ROOT --experiment x --node n --nodes 0", "whole number above 0"),
        ("coordinate --root ROOT", "required: --experiment"),
    ],
)
def test_a_mistake_is_a_line(line: str, expected: str, root: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word.replace("ROOT", root) for word in shlex.split(line)]) == 2
    assert expected in one_line(capsys)


def test_a_strange_folder_is_one_line_and_status_1(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    experiment = FakeExperiment(Path(root), "odd", load_config(overrides=["nodes=2"]))
    experiment.log.append(b'{"state": 7}', round=0, stage=0)
    assert main(["status", "--root", root, "--experiment", "odd"]) == 1
    assert "state record 0" in one_line(capsys)


@pytest.mark.parametrize("command", ["", "simulate", "work", "status", "compare", "config", "identity new"])
def test_help_is_printed_with_the_exit_statuses(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    captured = capsys.readouterr()
    assert "Exit status: 0 done" in captured.out
    assert captured.err == ""


def test_a_reader_that_has_gone_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "swarm_ray.cli", "config"]
    found = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write_end)
    assert (found.returncode, found.stderr) == (0, "")


def test_text_that_the_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    experiment = FakeExperiment(tmp_path, "swarm", load_config(overrides=["nodes=2"]))
    experiment.append("running", note="naïve → waiting")
    command = [sys.executable, "-m", "swarm_ray.cli", "status", "--root", str(tmp_path)]
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=ascii_only)
    assert r"note: na\xefve \u2192 waiting" in found.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["list", "--help"],
        ["list", "--root", "ROOT"],
        ["list", "--root", "ROOT", "--json"],
        ["metrics", "shared", "--root", "ROOT", "--csv", "-"],
        ["report", "shared", "--root", "ROOT", "-o", "ROOT/page.html"],
        ["watch", "shared", "--root", "ROOT"],
    ],
    ids=" ".join,
)
def test_a_full_disk_is_one_line_and_status_2(
    words: list[str], root: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path(FULL).open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main([word.replace("ROOT", root) for word in words]) == 2
    why = "standard output could not be written (No space left on device); send it elsewhere"
    assert capsys.readouterr().err == f"swarm-ray: {why}\n"


def test_where_a_stream_is_closed_the_other_or_the_status_tells(
    root: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as closed:
        closed.setattr(sys, "stdout", None)
        assert main(["list", "--root", root]) == 2
    assert "standard output could not be written (it is closed)" in capsys.readouterr().err
    with Path(FULL).open("w") as full:
        for stream in (None, full):
            monkeypatch.setattr(sys, "stderr", stream)
            assert main(["list", "--root", f"{root}/nowhere"]) == 2


def test_the_end_of_the_process_adds_nothing() -> None:
    """Python flushes what it still holds when it ends, and would complain of it."""
    with Path(FULL).open("w") as full:
        command = [sys.executable, "-m", "swarm_ray.cli", "--help"]
        buffered, streams = os.environ | {"PYTHONUNBUFFERED": ""}, {"stdout": full, "stderr": subprocess.PIPE}
        found = subprocess.run(command, **streams, text=True, check=False, env=buffered)
    assert (found.returncode, found.stderr.count("\n")) == (2, 1)
