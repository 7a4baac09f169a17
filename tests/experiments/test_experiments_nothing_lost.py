"""Nothing of an experiment is lost unsaid: hard links, links, strange names, and records that are missing."""

import json
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard
from experiments_for_tests import FakeExperiment, finished

from swarm_ray.cli import main
from swarm_ray.config.load import load_config
from swarm_ray.errors import MalformedFile, SwarmStateError, UserError
from swarm_ray.experiments import compare_experiments, experiment_history
from swarm_ray.experiments.manage.archive import archive_experiment
from swarm_ray.experiments.manage.export import export_experiment
from swarm_ray.experiments.manage.rename import rename_experiment
from swarm_ray.experiments.read import frames

ROUNDS = 6


@pytest.fixture
def done(tmp_path: Path) -> FakeExperiment:
    """A whole run, named `done`."""
    return finished(tmp_path, "done", load_config(overrides=["nodes=2", f"rounds={ROUNDS}"]))


def folder_of(done: FakeExperiment) -> Path:
    """Its folder."""
    return done.root / "experiments" / "done"


def unpacked(archive: Path, to: Path) -> Path:
    """A new root with what an archive holds."""
    experiments = to / "experiments"
    experiments.mkdir(parents=True)
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(experiments)
            assert packed.namelist()[-1] == "done/experiment.json"
    else:
        with zstandard.open(archive, "rb") as raw, tarfile.open(fileobj=raw, mode="r|") as tar:
            tar.extractall(experiments, filter="data")
    return to


@pytest.mark.parametrize("ending", [".zip", ".tar.zst"])
def test_an_archive_is_it_again_with_both_names(done: FakeExperiment, ending: str, tmp_path: Path) -> None:
    log = next(folder_of(done).glob("logs/node-1.*/metrics-000000.jsonl"))
    again = folder_of(done) / "logs" / "again.jsonl"
    os.link(log, again)
    problems: list[str] = []
    made = archive_experiment(str(done.root), "done", tmp_path / f"a{ending}", problems=problems)
    restored = unpacked(made.path, tmp_path / "elsewhere")
    assert problems == []
    there = restored / "experiments" / "done"
    names = [path.relative_to(folder_of(done)) for path in (log, again)]
    assert {(there / name).read_bytes() for name in names} == {log.read_bytes()}
    assert made.files == sum(path.is_file() for path in there.rglob("*"))
    assert made.bytes_out == made.path.stat().st_size < made.bytes_in
    assert {path.name for path in there.iterdir()} == {path.name for path in folder_of(done).iterdir()}
    assert compare_experiments(str(restored), ["done"]) == compare_experiments(str(done.root), ["done"])


def test_what_cannot_be_written_anew_is_named_and_not_lost(done: FakeExperiment, tmp_path: Path) -> None:
    folder = folder_of(done)
    (folder / "logs" / "notes").symlink_to("/etc/hostname")
    odd = folder / os.fsdecode(b"odd\xff")
    odd.mkdir()
    (odd / "inside.txt").write_text("kept")
    before = sorted(done.root.rglob("*"))
    lost = r"done cannot be renamed.*notes is a link.*cannot be printed"
    with pytest.raises(UserError, match=lost) as told:
        rename_experiment(str(done.root), "done", "over")
    assert "\n" not in str(told.value)
    assert sorted(done.root.rglob("*")) == before
    problems: list[str] = []
    archive_experiment(str(done.root), "done", tmp_path / "a.zip", problems=problems)
    assert len(problems) == 2
    assert all(line.endswith("so it is left out") for line in problems)
    assert not [name for name in zipfile.ZipFile(tmp_path / "a.zip").namelist() if "inside" in name]


def test_a_record_that_is_not_to_be_seen_yet_is_told_wherever_rounds_are_counted(
    done: FakeExperiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(done.root)
    whole = frames.comparison_frame(root, ["done"])
    record = next(folder_of(done).glob("state/000000/*-s00000004.*"))
    hidden = record.rename(tmp_path / record.name)
    for reads in (
        lambda: compare_experiments(root, ["done"]),
        lambda: experiment_history(root, "done"),
        lambda: frames.rounds_frame(root, "done"),
    ):
        with pytest.raises(SwarmStateError, match="up to record 3 only, and its newest record is 8"):
            reads()
    problems: list[str] = []
    (some,) = compare_experiments(root, ["done"], problems)
    assert (some.rounds, len(problems)) == (2, 1)
    export_experiment(root, "done", tmp_path / "out", problems=problems)
    assert problems[1:] == problems[:1]
    for words in (["compare", "--json"], ["metrics"], ["metrics", "--json"], ["compare"]):
        assert main([words[0], "done", "--root", root, *words[1:]]) == 0
        shown = capsys.readouterr()
        assert shown.err == f"swarm-ray: {problems[0]}\n"
        assert shown.out
        if words[1:]:
            json.loads(shown.out)
    with pytest.raises(MalformedFile, match=r"record 3 only.* done keeps its name"):
        rename_experiment(root, "done", "over")
    hidden.rename(record)
    assert frames.comparison_frame(root, ["done"]).equals(whole)


def test_what_is_not_counted_after_a_damaged_record_is_told(done: FakeExperiment) -> None:
    record = next(folder_of(done).glob("state/000000/*-s00000004.*"))
    record.write_bytes(record.read_bytes().replace(b"running", b"runming"))
    problems: list[str] = []
    stages = experiment_history(str(done.root), "done", problems)
    assert [stage.round for stage in stages] == [0, 1]
    assert "record 4" in problems[0]
    assert "up to record 3 only" in problems[1]
