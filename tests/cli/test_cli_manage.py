"""The commands on experiments as wholes: what they print, what they write, and a line for every mistake."""

import json
import shlex
import zipfile
from pathlib import Path

import msgspec
import pytest
from experiments_for_tests import FakeExperiment, finished, metrics_row

from swarm_ray.cli import main
from swarm_ray.config.load import load_config
from swarm_ray.experiments import experiment_history, list_experiments


@pytest.fixture
def root(tmp_path: Path) -> str:
    """`done` has finished with 30 rounds, `walking` is under way."""
    config = load_config(overrides=["nodes=2", "rounds=30"])
    finished(tmp_path, "done", config)
    FakeExperiment(tmp_path, "walking", config).close(0, {"node-0": 0.5, "node-1": 0.25})
    return str(tmp_path)


def test_create_makes_what_simulate_goes_on_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(tmp_path)
    words = ["create", "mine", "--root", root, "--preset", "tiny", "rounds=7", "--seed", "3", "--local", "6"]
    assert main(words) == 0
    made = f"mine created in {root}: preset tiny, 7 rounds, I/J 6/4, G 8, seed 3"
    assert capsys.readouterr().out.startswith(made)
    assert main(words) == 2
    assert "'mine' exists" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    assert [s.rounds for s in list_experiments(root)] == [7]


def test_metrics_show_the_last_rounds_and_say_so(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "done", "--root", root]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["round", "reward", "min"]
    assert [line.split()[0] for line in lines[2:-1]] == [str(number) for number in range(10, 30)]
    assert lines[-1] == "the last 20 of 30 rounds; --csv and --json have all"


def test_metrics_by_something_else(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    for by, heads, first in (
        ("node", ["node", "round"], ["node-0", "29", "30"]),
        ("specialty", ["specialty", "reward"], ["lcm", "0.500"]),
        ("step", ["node", "round"], ["node-0", "20", "20"]),
    ):
        assert main(["metrics", "done", "--root", root, "--by", by]) == 0
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert (lines[0][:2], lines[2][: len(first)]) == (heads, first)


def test_csv_and_json_have_every_row(root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "done", "--root", root, "--csv", "-"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("round,stage,reward,")
    assert len(text.splitlines()) == 31
    assert main(["metrics", "done", "--root", root, "--csv", str(tmp_path / "a" / "rounds.csv")]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/a/rounds.csv (30 rows)\n"
    assert (tmp_path / "a" / "rounds.csv").read_text() == text
    assert main(["metrics", "done", "--root", root, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    history = experiment_history(root, "done")
    assert [row["round"] for row in rows] == [stage.round for stage in history]
    assert main(["metrics", "done", "--root", root, "--by", "specialty", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 60


def test_metrics_of_what_has_not_begun_or_is_torn(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "walking", "--root", root, "--by", "step"]) == 0
    assert capsys.readouterr().out == "no step to show yet\n"
    assert main(["metrics", "walking", "--root", root, "--json", "--by", "step"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    torn = next(Path(root).glob("experiments/done/logs/node-1.*/metrics-000000.jsonl"))
    torn.write_text("{}\n")
    assert main(["metrics", "done", "--root", root]) == 0
    captured = capsys.readouterr()
    assert "29" in captured.out
    assert captured.err.startswith("swarm-ray: ")
    assert "torn or damaged" in captured.err


def test_names_that_others_wrote_steer_no_terminal(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    experiment = FakeExperiment(Path(root), "odd", load_config(overrides=["nodes=2"]))
    experiment.register("node-0")
    row = msgspec.structs.replace(metrics_row("node-0", 0), reward_by_specialty={"\x1b[2Jlcm": 0.5})
    experiment.log_rows("node-0", [row])
    for form in ([], ["--csv", "-"], ["--json"]):
        assert main(["metrics", "odd", "--root", root, "--by", "specialty", *form]) == 0
        assert "\x1b" not in capsys.readouterr().out


def test_export_archive_clean_rename(root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["export", "done", "--root", root, "-o", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = ["summary.json", "metrics.csv", "rounds.csv", "nodes.csv", "specialties.csv", "rollouts.parquet"]
    assert [line.split(" (")[0] for line in lines] == [str(out / name) for name in names]
    assert main(["archive", "done", "--root", root, "-o", str(tmp_path / "done.zip")]) == 0
    said = capsys.readouterr().out
    packed = zipfile.ZipFile(tmp_path / "done.zip").infolist()
    assert said.startswith(f"{tmp_path}/done.zip: {sum(not entry.is_dir() for entry in packed)} files, ")
    assert main(["archive", "done", "--root", root, "-o", str(tmp_path / "done.zip")]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["rename", "done", "over", "--root", root]) == 0
    assert capsys.readouterr().out.startswith("done is over now: ")
    assert main(["clean", "over", "--root", root]) == 0
    assert capsys.readouterr().out == "nothing of over can be removed\n"
    assert main(["clean", "over", "--root", root, "--all"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("of over ")
    assert "would be removed; --yes does it" in said
    assert main(["clean", "over", "--root", root, "--all", "--yes"]) == 0
    assert "removed\n" in capsys.readouterr().out
    assert [s.name for s in list_experiments(root)] == ["walking"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("create --root ROOT", "required: EXPERIMENT (see"),
        ("create done --root ROOT", "take another name, or give --overwrite"),
        ("create --root ROOT --experiment new", "no such argument: --experiment"),
        ("create new --root ROOT/experiments/done/experiment.json", "A file stands where a folder"),
        ("create 'My Swarm' --root ROOT", "cannot name an experiment"),
        ("metrics --root ROOT", "required: EXPERIMENT"),
        ("metrics dne --root ROOT", "there are done, walking"),
        ("metrics done --root ROOT --by peer", "invalid choice: 'peer'"),
        ("metrics done --root ROOT --csv ROOT", "is there already"),
        ("metrics done --root ROOT --csv ROOT --overwrite", "is a folder"),
        ("metrics done --root ROOT --csv - --json", "leave one of them out"),
        ("metrics done --root ROOT --csv ''", "an empty path names no place"),
        ("metrics done walking --root ROOT", "no such argument: walking"),
        ("export done --root ROOT", "required: -o"),
        ("export done --root ROOT -o ROOT/x.xls", "ends in .json"),
        ("archive done --root ROOT -o ROOT/x.rar", "ends in .zip or .tar.zst"),
        ("archive done --root ROOT -o ROOT/experiments/done/x.zip", "in the experiment itself"),
        ("clean walking --root ROOT --yes", "stop it first: swarm-ray stop --root"),
        ("rename walking running --root ROOT", "so it cannot be renamed"),
        ("rename done --root ROOT", "required: NEW"),
        ("rename done walking --root ROOT", "'walking' is taken"),
        ("rename done Over --root ROOT", "cannot name an experiment"),
    ],
)
def test_a_mistake_is_a_line(line: str, expected: str, root: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word.replace("ROOT", root) for word in shlex.split(line)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("swarm-ray: ")
    assert captured.err.count("\n") == 1
    assert expected in captured.err
    assert {s.name for s in list_experiments(root)} == {"done", "walking"}


@pytest.mark.parametrize("words", [["export", "own"], ["export-model", "own", "--node", "node-0"]])
@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("os", "the experiment has no such module of its own (tasks.modules); it has 'no_such_mod'"),
        ("no_such_mod", "it cannot be imported (No module named 'no_such_mod')"),
    ],
)
def test_a_module_that_is_trusted_for_nothing_is_a_mistake(
    tmp_path: Path, words: list[str], module: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(tmp_path, "own", load_config(overrides=["nodes=2", "rounds=2", "tasks.modules=[no_such_mod]"]))
    out = tmp_path / "out"
    assert main([*words, "--root", str(tmp_path), "-o", str(out), "--module", module]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"swarm-ray: --module {module}: {expected}")
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert not out.exists()
