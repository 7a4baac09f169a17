"""Which experiments a folder holds."""

from __future__ import annotations

from pathlib import Path

from experiments_for_tests import FakeExperiment, finished

from swarm_ray.config.load import load_config
from swarm_ray.experiments import list_experiments


def test_experiments_are_listed_oldest_first(tmp_path: Path) -> None:
    config = load_config(overrides=["nodes=2", "rounds=3", "local=5", "external=3", "seed=7"])
    finished(tmp_path, "b-done", config)
    younger = FakeExperiment(tmp_path, "a-new", config, created_at="2026-08-02T00:00:00+00:00")
    done, new = list_experiments(str(tmp_path))
    assert (done.name, done.state, done.round, done.rounds, done.nodes) == ("b-done", "finished", 2, 3, 2)
    assert (done.local, done.external, done.completions, done.seed) == (5, 3, 8, 7)
    assert (done.created_at, done.problem) == ("2026-08-01T12:00:00+00:00", None)
    assert (new.name, new.state, new.round, new.rounds, new.nodes) == ("a-new", "waiting", -1, 3, 0)
    younger.append("failed", learned_nothing=True)
    new = list_experiments(str(tmp_path))[1]
    assert (new.state, new.learned_nothing) == ("failed", True)


def test_what_belongs_to_others_is_passed_over(tmp_path: Path) -> None:
    assert list_experiments(str(tmp_path)) == []
    finished(tmp_path, "mine", load_config(overrides=["nodes=2", "rounds=1"]))
    folder = tmp_path / "experiments"
    (folder / "Holiday pictures (1)").mkdir()
    (folder / "empty").mkdir()
    (folder / "notes").write_text("buy milk")
    (folder / "odd" / "experiment.json").mkdir(parents=True)
    assert [s.name for s in list_experiments(str(tmp_path))] == ["mine"]


def test_one_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    config = load_config(overrides=["nodes=2", "rounds=1"])
    finished(tmp_path, "whole", config)
    torn = finished(tmp_path, "torn", config)
    (tmp_path / torn.paths.experiment_json).write_text('{"experiment": "to')
    altered = finished(tmp_path, "altered", config)
    next((tmp_path / altered.paths.folder).glob("config-*.yaml")).write_text("rounds: 1000000\n")
    strange = finished(tmp_path, "strange", config)
    strange.log.append(b'{"state": 7}', round=0, stage=0)
    found = {s.name: s for s in list_experiments(str(tmp_path))}
    assert found["whole"].problem is None
    assert found["torn"].state == found["strange"].state == "unreadable"
    assert "not an experiment's identity" in str(found["torn"].problem)
    assert "state record 4 of epoch 1" in str(found["strange"].problem)
    assert (found["altered"].state, found["altered"].local) == ("finished", None)
    assert "was altered" in str(found["altered"].problem)
