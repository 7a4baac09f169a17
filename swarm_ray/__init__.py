"""Swarm Ray: swarms of small language models that learn to reason by sharing rollouts (SAPO, arXiv 2509.08721).

Names are loaded when they are first used (PEP 562), so that `import swarm_ray` needs neither torch nor Ray.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swarm_ray.config.load import load_config
    from swarm_ray.config.schema import SwarmConfig
    from swarm_ray.experiments import (
        compare_experiments,
        experiment_status,
        get_experiment_status,
        list_experiments,
    )
    from swarm_ray.experiments.manage.archive import archive_experiment
    from swarm_ray.experiments.manage.clean import cleanup_experiment
    from swarm_ray.experiments.manage.export import export_experiment, export_experiment_summary
    from swarm_ray.experiments.open import init_experiment
    from swarm_ray.experiments.read.frames import get_experiment_metrics
    from swarm_ray.games import run_game
    from swarm_ray.models.export import export_model
    from swarm_ray.observe.report import write_report
    from swarm_ray.observe.watch import watch
    from swarm_ray.swarm import Swarm, coordinate, simulate, work
    from swarm_ray.tasks.task import register_task

_HOMES = {
    "Swarm": "swarm_ray.swarm",
    "SwarmConfig": "swarm_ray.config.schema",
    "archive_experiment": "swarm_ray.experiments.manage.archive",
    "cleanup_experiment": "swarm_ray.experiments.manage.clean",
    "compare_experiments": "swarm_ray.experiments",
    "coordinate": "swarm_ray.swarm",
    "experiment_status": "swarm_ray.experiments",
    "export_experiment": "swarm_ray.experiments.manage.export",
    "export_experiment_summary": "swarm_ray.experiments.manage.export",
    "export_model": "swarm_ray.models.export",
    "get_experiment_metrics": "swarm_ray.experiments.read.frames",
    "get_experiment_status": "swarm_ray.experiments",
    "init_experiment": "swarm_ray.experiments.open",
    "list_experiments": "swarm_ray.experiments",
    "load_config": "swarm_ray.config.load",
    "register_task": "swarm_ray.tasks.task",
    "run_game": "swarm_ray.games",
    "simulate": "swarm_ray.swarm",
    "watch": "swarm_ray.observe.watch",
    "work": "swarm_ray.swarm",
    "write_report": "swarm_ray.observe.report",
}

__all__ = [
    "Swarm",
    "SwarmConfig",
    "archive_experiment",
    "cleanup_experiment",
    "compare_experiments",
    "coordinate",
    "experiment_status",
    "export_experiment",
    "export_experiment_summary",
    "export_model",
    "get_experiment_metrics",
    "get_experiment_status",
    "init_experiment",
    "list_experiments",
    "load_config",
    "register_task",
    "run_game",
    "simulate",
    "watch",
    "work",
    "write_report",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module 'swarm_ray' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
