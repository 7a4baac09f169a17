"""What a folder says of its experiments: list, status, history, comparison and metrics.

Needs neither torch nor Ray, so that a run can be watched from any machine that sees its folder. What is imported from
here only reads; modules of their own make, export, archive, clean and rename experiments, and `frames` has them as
DataFrames of pandas, which takes longer to import than all of this.
"""

from swarm_ray.experiments.read.compare import ClosedStage, Comparison
from swarm_ray.experiments.read.listing import (
    ExperimentSummary,
    compare_experiments,
    experiment_history,
    experiment_metrics,
    experiment_status,
    get_experiment_status,
    list_experiments,
)
from swarm_ray.experiments.read.liveness import CoordinatorStatus
from swarm_ray.experiments.read.metrics import TimeBreakdown, time_breakdown
from swarm_ray.experiments.read.status import ExperimentStatus, NodeStatus

__all__ = [
    "ClosedStage",
    "Comparison",
    "CoordinatorStatus",
    "ExperimentStatus",
    "ExperimentSummary",
    "NodeStatus",
    "TimeBreakdown",
    "compare_experiments",
    "experiment_history",
    "experiment_metrics",
    "experiment_status",
    "get_experiment_status",
    "list_experiments",
    "time_breakdown",
]
