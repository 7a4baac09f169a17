"""How far a sweep is and what it found: figures of each grid point over its seeds, compared with the baseline.

One run is one number: rounds and nodes of a run depend on each other, so the seeds alone are counted as independent.

Runs of one seed draw the same questions for the same node and step, in every grid point. So the difference to the
baseline is taken seed by seed, and its interval is the headline: it is right whether runs of one seed resemble each
other or not. The test is not paired: with 3 seeds a paired one cannot get below p = 0.25, and what two samples have in
common makes the Mann-Whitney test more cautious, not less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from drive_store import Store
from swarm_ray.config.load import differences
from swarm_ray.errors import ConfigError, SwarmStateError
from swarm_ray.experiments import ClosedStage, Comparison
from swarm_ray.experiments.folder import ExperimentAddress, read_identity
from swarm_ray.experiments.open import Opened, config_in_force, newest_record
from swarm_ray.experiments.read.compare import comparison_of, history_of
from swarm_ray.experiments.read.experiment import open_experiment
from swarm_ray.formatting import duration, large, reward_sum, share
from swarm_ray.observe.statistics import (
    Difference,
    Interval,
    PairedDifference,
    adjusted_p,
    difference,
    interval,
    paired_difference,
    smallest_p,
)
from swarm_ray.records.state import ExperimentState
from swarm_ray.sweeps.plan import GridPoint, SweepPlan, SweepRun

NEW, FINISHED = "new", ExperimentState.FINISHED


@dataclass(frozen=True)
class RunStatus:
    """One run in the folder."""

    run: SweepRun
    state: str
    """new, finished, or the state in its newest record: running, stopped, failed and so on."""

    @property
    def finished(self) -> bool:
        """Whether all its rounds have run."""
        return self.state == FINISHED


@dataclass
class Outcome:
    """How the runs ended."""

    done: list[str] = field(default_factory=list)
    """Experiments that were run to their end."""
    failed: dict[str, str] = field(default_factory=dict)
    """Experiment to the reason, on one line."""
    interrupted: bool = False


def run_statuses(plan: SweepPlan, root: str) -> list[RunStatus]:
    """The status of each run of a plan, in the plan's order.

    Raises:
        ConfigError: the folder holds an experiment of that name with other settings, or one that cannot be read.
        StoreError: the folder cannot be read.
    """
    store = Store(root)
    return [RunStatus(run, _state(plan, store, run, root)) for run in plan.runs]


def to_do(found: Sequence[RunStatus]) -> list[SweepRun]:
    """The runs that are not finished, those already begun first, so a sweep resumes where it stopped."""
    return [s.run for s in sorted(found, key=lambda s: s.state == NEW) if not s.finished]


def _state(plan: SweepPlan, store: Store, run: SweepRun, root: str) -> str:
    address = ExperimentAddress(root, run.experiment)
    if read_identity(store, address) is None:
        return NEW
    stored = config_in_force(store, address)
    if changed := differences(run.config, stored):
        more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
        raise ConfigError(
            f"{plan.where}: the folder has {run.experiment} with other settings: {changed[0]}{more}; "
            "take the file's old values, another name for the sweep, or another --root"
        )
    record = newest_record(store, address)
    if Opened(run.config, record).over:
        return FINISHED
    return ExperimentState.WAITING if record is None else record.state


@dataclass(frozen=True)
class Measure:
    """A figure of a run."""

    key: str
    title: str
    meaning: str
    of: Callable[[Comparison], float | None]
    format: Callable[[float], str] = share


MEASURES = (
    Measure(
        "cumulative_reward",
        "cumulative reward",
        "sum over nodes and rounds of the mean raw reward of own completions",
        lambda c: c.cumulative_reward,
        reward_sum,
    ),
    Measure(
        "reward_last",
        "reward of the last tenth",
        "mean reward of own completions over the last tenth of the rounds",
        lambda c: c.reward_last,
    ),
    Measure(
        "pass_at_1_end",
        "held-out pass@1 at the end",
        "on questions that were never trained on, mean over the nodes",
        lambda c: c.pass_at_1_end,
    ),
    Measure(
        "generated_tokens",
        "generated tokens",
        "by all nodes, in training",
        lambda c: float(c.generated_tokens),
        lambda tokens: large(round(tokens)),
    ),
    Measure(
        "seconds",
        "seconds",
        "from opening to close, summed over rounds; other load on the machine counts too",
        lambda c: c.seconds,
        duration,
    ),
)
"""The first decides; the others are shown beside it."""


@dataclass(frozen=True)
class Figure:
    """One measure of one grid point."""

    values: dict[int, float]
    """Seed to value, of finished runs."""
    interval: Interval | None
    paired_difference: PairedDifference | None
    """To the baseline, seed by seed; None for the baseline itself, or without one."""
    difference: Difference | None
    """To the baseline, all seeds against all seeds."""
    p_holm: float | None
    """p of the test, adjusted for the other grid points of this measure."""


@dataclass(frozen=True)
class FinishedRun:
    """One run, whole."""

    run: SweepRun
    figures: Comparison
    stages: tuple[ClosedStage, ...]


@dataclass(frozen=True)
class PointResult:
    """One grid point."""

    point: GridPoint
    is_baseline: bool
    runs: tuple[FinishedRun, ...]
    figures: dict[str, Figure]
    """By the key of the measure."""


@dataclass(frozen=True)
class SweepResult:
    """All results of a sweep."""

    name: str
    seeds: tuple[int, ...]
    baseline: GridPoint | None
    points: tuple[PointResult, ...]
    missing: tuple[RunStatus, ...]
    """Runs that are not finished."""
    not_counted: dict[str, str]
    """Experiment to why a finished run is not counted: part of its records cannot be read."""

    def sizes(self) -> tuple[int, list[int]]:
        """Runs of the baseline, and of each grid point that is compared with it."""
        base = sum(len(point.runs) for point in self.points if point.is_baseline)
        return base, [len(point.runs) for point in self.points if not point.is_baseline and point.runs]

    def least_p(self) -> float:
        """The smallest p that a comparison can have after Holm's adjustment, however far apart the runs lie."""
        base, others = self.sizes()
        return min(1.0, smallest_p(base, min(others)) * len(others)) if base and others else 1.0


def sweep_result(plan: SweepPlan, found: Sequence[RunStatus], root: str) -> SweepResult:
    """Compute the figures of the finished runs that can be read whole.

    A sum over part of a run's rounds would look like a small one, so runs with missing records are left out.

    Raises:
        StoreError: the folder cannot be read.
    """
    done: dict[GridPoint, list[FinishedRun]] = {}
    not_counted: dict[str, str] = {}
    for status in found:
        if status.finished:
            try:
                done.setdefault(status.run.point, []).append(_read(status.run, root))
            except SwarmStateError as error:
                not_counted[status.run.experiment] = str(error)
    base = None if plan.baseline is None else plan.points.index(plan.baseline)
    runs = [done.get(point, []) for point in plan.points]
    figures = {measure.key: _figures(measure, runs, base) for measure in MEASURES}
    points = tuple(
        PointResult(
            point,
            point == plan.baseline,
            tuple(runs[number]),
            {key: column[number] for key, column in figures.items()},
        )
        for number, point in enumerate(plan.points)
    )
    missing = tuple(status for status in found if not status.finished)
    return SweepResult(plan.name, plan.seeds, plan.baseline, points, missing, not_counted)


def _read(run: SweepRun, root: str) -> FinishedRun:
    """One run; a damaged record that the log can do without, such as one of two twins, does not affect its figures.

    Raises:
        SwarmStateError: a record is missing or not whole, or is not one that this version reads.
    """
    opened, problems = open_experiment(root, run.experiment), list[str]()
    figures, stages = comparison_of(opened, problems), tuple(history_of(opened, problems))
    if problems and not (log := opened.log()).whole:
        raise SwarmStateError("; ".join(log.problems))
    return FinishedRun(run, figures, stages)


def _figures(measure: Measure, points: Sequence[Sequence[FinishedRun]], baseline: int | None) -> list[Figure]:
    """One measure of all grid points, which are tested together."""
    values = [_values(measure, runs) for runs in points]
    base = values[baseline] if baseline is not None else {}
    others = [number for number in range(len(points)) if baseline is not None and number != baseline]
    tests = {n: difference(list(base.values()), list(values[n].values())) for n in others}
    adjusted = adjusted_p(tests)
    return [
        Figure(
            values=own,
            interval=interval(list(own.values())),
            paired_difference=_paired(base, own) if number in adjusted else None,
            difference=tests.get(number),
            p_holm=adjusted.get(number),
        )
        for number, own in enumerate(values)
    ]


def _values(measure: Measure, runs: Sequence[FinishedRun]) -> dict[int, float]:
    found = {run.run.seed: measure.of(run.figures) for run in runs}
    return {seed: value for seed, value in found.items() if value is not None and math.isfinite(value)}


def _paired(base: dict[int, float], own: dict[int, float]) -> PairedDifference | None:
    common = [seed for seed in own if seed in base]
    return paired_difference([base[seed] for seed in common], [own[seed] for seed in common])
