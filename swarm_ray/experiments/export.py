"""Takes results out of an experiment: a summary, tables, and all its rollouts as a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from swarm_ray.errors import UserError
from swarm_ray.experiments.compare import comparison_of
from swarm_ray.experiments.dataset import write_rollouts
from swarm_ray.experiments.read import OpenExperiment, open_experiment
from swarm_ray.experiments.status import status_of
from swarm_ray.experiments.writing import require_new, require_outside, written_whole
from swarm_ray.settings import to_json

SUMMARY, ROLLOUTS = "summary.json", "rollouts.parquet"
TABLES = ("metrics.csv", "rounds.csv", "nodes.csv", "specialties.csv")


def export_experiment(
    root: str,
    experiment: str,
    path: Path | str,
    *,
    overwrite: bool = False,
    modules: Sequence[str] = (),
    problems: list[str] | None = None,
) -> list[Path]:
    """Write what an experiment came to.

    Args:
        root: the folder that holds the experiment.
        experiment: its name.
        path: a folder, which takes `summary.json`, a CSV file for each table of `frames`, and `rollouts.parquet`; or
            a file that ends in `.json` or `.parquet`, which takes the summary or the rollouts.
        overwrite: write over files that are there.
        modules: Python modules with tasks of one's own that may be imported to make the questions again.
        problems: takes a line for what could not be read.

    Returns:
        The files that were written.

    Raises:
        ExperimentNotFoundError: there is no such experiment.
        UserError: a file is there already, or the path is none that an export can have.
        ConfigError: the stored configuration is missing or was altered.
        SwarmStateError: a state record is not one that this version reads.
        StoreError: the folder cannot be read, or the files cannot be written.
    """
    opened, target = open_experiment(root, experiment), Path(path)
    require_outside(root, target)
    told: list[str] = [] if problems is None else problems
    if target.suffix == ".json":
        writers: dict[Path, Callable[[Path], object]] = {target: lambda part: _write_summary(opened, part)}
    elif target.suffix == ".parquet":
        writers = {target: lambda part: write_rollouts(opened, part, tuple(modules), told)}
    elif target.suffix and not target.is_dir():
        raise UserError(
            f"{target}: an export is a folder, or a file that ends in .json (the summary) or .parquet (the rollouts)"
        )
    else:
        writers = {
            target / SUMMARY: lambda part: _write_summary(opened, part),
            **{target / name: _table_writer(opened, name, told) for name in TABLES},
            target / ROLLOUTS: lambda part: write_rollouts(opened, part, tuple(modules), told),
        }
    if not overwrite:
        for file in writers:
            require_new(file)
    for file, write in writers.items():
        with written_whole(file) as part:
            write(part)
    return list(writers)


def export_experiment_summary(
    root: str, experiment: str, path: Path | str, *, overwrite: bool = False
) -> Path:
    """Write identity, configuration, figures and nodes of an experiment as one JSON document.

    Raises:
        ExperimentNotFoundError: there is no such experiment.
        UserError: the file is there already.
        ConfigError: the stored configuration is missing or was altered.
        SwarmStateError: a state record is not one that this version reads.
        StoreError: the folder cannot be read, or the file cannot be written.
    """
    opened, target = open_experiment(root, experiment), Path(path)
    require_outside(root, target)
    if not overwrite:
        require_new(target)
    with written_whole(target) as part:
        _write_summary(opened, part)
    return target


def summary_of(experiment: OpenExperiment) -> dict[str, Any]:
    """What `summary.json` holds: where the experiment comes from, its configuration, its figures, and its nodes.

    Raises:
        ConfigError: the stored configuration is missing or was altered.
        SwarmStateError: a state record is not one that this version reads.
        StoreError: the folder cannot be read.
    """
    identity = experiment.identity
    return {
        "experiment": experiment.paths.experiment,
        "created_at": identity.created_at,
        "machine": identity.machine,
        "versions": identity.versions,
        "figures": comparison_of(experiment),
        "status": status_of(experiment),
        "config": to_json(experiment.config_in_force()),
    }


def _write_summary(experiment: OpenExperiment, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(summary_of(experiment)), indent=2) + b"\n")


def _table_writer(experiment: OpenExperiment, name: str, problems: list[str]) -> Callable[[Path], object]:
    from swarm_ray.experiments import frames

    root, known = experiment.address.root, experiment.paths.experiment
    made: dict[str, Callable[[], Any]] = {
        "metrics.csv": lambda: frames.metrics_frame(root, known, problems),
        "rounds.csv": lambda: frames.rounds_frame(root, known, []),
        "nodes.csv": lambda: frames.nodes_frame(root, known),
        "specialties.csv": lambda: frames.specialties_frame(root, known, []),
    }
    return lambda path: frames.to_csv(made[name](), path)
