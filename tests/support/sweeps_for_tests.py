"""Files of sweeps, and whole sweeps that were never run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from experiments_for_tests import finished

from swarm_ray.sweeps.plan import SweepPlan, read_plan
from swarm_ray.sweeps.results import SweepResult, run_statuses, sweep_result

SPLITS: dict[str, Any] = {
    "name": "splits",
    "preset": "tiny",
    "set": {"nodes": 2, "rounds": 10},
    "grid": {"local, external": [[8, 0], [4, 4]], "grpo.learning_rate": [1e-3, 1e-4]},
    "seeds": [0, 1, 2],
    "baseline": {"local": 8, "external": 0, "grpo.learning_rate": 1e-3},
}


def write_sweep(folder: Path, changes: Mapping[str, Any] | None = None, *without: str) -> Path:
    """The file of a sweep, with some keys changed and some left out."""
    values = {key: value for key, value in {**SPLITS, **(changes or {})}.items() if key not in without}
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def plan_of(folder: Path, changes: Mapping[str, Any] | None = None, *without: str) -> SweepPlan:
    """The runs of such a file."""
    return read_plan(write_sweep(folder, changes, *without))


def write_runs(plan: SweepPlan, root: Path, count: int | None = None) -> None:
    """Write the first `count` runs as finished experiments; those with external rollouts rise faster."""
    for run in plan.runs[:count]:
        rising = 0.02 if run.config.external else 0.01
        finished(root, run.experiment, run.config, seed=100 * run.config.external + run.seed, rising=rising)


def result_of(plan: SweepPlan, root: Path) -> SweepResult:
    """What a folder says of a plan's runs."""
    return sweep_result(plan, run_statuses(plan, str(root)), str(root))


def result_of_all(folder: Path, changes: Mapping[str, Any], *without: str) -> SweepResult:
    """What a folder says when all runs of such a file are finished in it."""
    plan = plan_of(folder, changes, *without)
    write_runs(plan, folder)
    return result_of(plan, folder)
