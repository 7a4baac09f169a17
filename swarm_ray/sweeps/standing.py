"""How far the runs of a sweep are in its folder, and how those of this call ended. Loads neither torch nor Ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from drive_store import Store
from swarm_ray.config.load import differences
from swarm_ray.errors import ConfigError
from swarm_ray.experiments.folder import ExperimentAddress, read_identity
from swarm_ray.experiments.open import Opened, config_in_force, newest_record
from swarm_ray.records.state import ExperimentState
from swarm_ray.sweeps.plan import SweepPlan, SweepRun

NEW, FINISHED = "new", ExperimentState.FINISHED


@dataclass(frozen=True)
class Standing:
    """One run in the folder."""

    run: SweepRun
    state: str
    """new, finished, or what its newest state record says: running, stopped, failed and so on."""

    @property
    def finished(self) -> bool:
        """Whether all its rounds are run."""
        return self.state == FINISHED


@dataclass
class Outcome:
    """How the runs ended."""

    done: list[str] = field(default_factory=list)
    """Experiments that were run to their end."""
    failed: dict[str, str] = field(default_factory=dict)
    """Experiment to why, on one line."""
    interrupted: bool = False


def standings(plan: SweepPlan, root: str) -> list[Standing]:
    """How far each run of a plan is, in the plan's order.

    Raises:
        ConfigError: the folder holds an experiment of that name with other settings, or one that cannot be read.
        StoreError: the folder cannot be read.
    """
    store = Store(root)
    return [Standing(run, _state(plan, store, run, root)) for run in plan.runs]


def to_do(found: Sequence[Standing]) -> list[SweepRun]:
    """The runs that are not finished, those already begun first: a sweep resumes where it stopped."""
    left = [standing for standing in found if not standing.finished]
    return [s.run for s in sorted(left, key=lambda s: s.state == NEW)]


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
