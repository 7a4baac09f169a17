"""Files written for people stay out of the experiments, and removals touch nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from experiments_for_tests import finished

from swarm_ray.config.load import load_config
from swarm_ray.errors import UserError
from swarm_ray.experiments.manage.clean import cleanup_experiment
from swarm_ray.experiments.manage.export import export_experiment, export_experiment_summary
from swarm_ray.models.export import require_model_folder
from swarm_ray.observe.report import write_report


@pytest.mark.parametrize("name", ["experiment.json", "rewards/page.html"])
def test_nothing_is_written_among_the_experiments_files(tmp_path: Path, name: str) -> None:
    finished(tmp_path, "done", load_config("tiny", overrides=["rounds=2"]))
    target = tmp_path / "experiments" / "done" / name
    before = target.read_bytes() if target.exists() else None
    link = tmp_path / "page.html"
    link.symlink_to(target)
    for path in (target, link):
        with pytest.raises(UserError, match="among the experiments' own files"):
            write_report(str(tmp_path), ["done"], path)
        with pytest.raises(UserError, match="among the experiments' own files"):
            export_experiment_summary(str(tmp_path), "done", path, overwrite=True)
    with pytest.raises(UserError, match="among the experiments' own files"):
        export_experiment(str(tmp_path), "done", target.parent, overwrite=True)
    assert (target.read_bytes() if target.exists() else None) == before


def test_a_linked_experiment_is_not_removed_through_its_link(tmp_path: Path) -> None:
    finished(tmp_path, "done", load_config("tiny", overrides=["rounds=2"]))
    folder = tmp_path / "experiments" / "done"
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link"):
        cleanup_experiment(str(tmp_path), "done", dry_run=False, whole=True)
    assert (tmp_path / "elsewhere" / "experiment.json").is_file()


@pytest.mark.parametrize("other", ["main.js", "src", ".git"])
def test_a_folder_that_holds_more_than_a_model_is_not_replaced(tmp_path: Path, other: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    require_model_folder(tmp_path, overwrite=True)
    (tmp_path / other).mkdir()
    with pytest.raises(UserError, match="holds other things than a model"):
        require_model_folder(tmp_path, overwrite=True)
