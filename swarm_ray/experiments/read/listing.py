"""Experiments by their names: the list of them, and what each says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from drive_store import InvalidName, Store
from drive_store.errors import errors_of
from drive_store.store.deadline import Deadline
from swarm_ray.errors import ConfigError, ExperimentNotFoundError, SwarmError, UserError
from swarm_ray.experiments.folder import ExperimentAddress, read_config_file, sizes_of
from swarm_ray.experiments.read.compare import ClosedStage, Comparison, comparison_of, history_of
from swarm_ray.experiments.read.experiment import (
    OpenExperiment,
    find_identity,
    open_experiment,
    open_root,
    possible_names,
)
from swarm_ray.experiments.read.metrics import metrics_of, record_from_nodes
from swarm_ray.experiments.read.status import (
    ExperimentReading,
    ExperimentStatus,
    current_round,
    read_now,
    shown_state,
)
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.state import UNDER_WAY, ExperimentState

UNREADABLE = "unreadable"
_AT_ONCE = 8


class ExperimentSummary(msgspec.Struct, frozen=True):
    """One line of a list of experiments."""

    name: str
    state: str = UNREADABLE
    """waiting, running, paused, finished, stopped or failed; `unreadable` where `problem` says why."""
    round: int = -1
    """The open round, or the last one that closed; -1 before the first."""
    rounds: int | None = None
    nodes: int = 0
    """Nodes that its coordinator has taken in."""
    created_at: str = ""
    """Wall clock, ISO 8601."""
    local: int | None = None
    external: int | None = None
    completions: int | None = None
    seed: int | None = None
    learned_nothing: bool = False
    problem: str | None = None


def list_experiments(root: str) -> list[ExperimentSummary]:
    """The experiments in a folder, oldest first; other folders are ignored.

    Raises:
        UserError: the folder does not exist.
        StoreError: the folder cannot be read.
    """
    store = open_root(root)
    # One bounded call for each experiment, and several at once: on a mount each waits for the network.
    look = Deadline()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(
            lambda name: _looked_at(look, store, ExperimentAddress(root, name)), possible_names(store)
        )
        summaries = [summary for summary in found if summary is not None]
    return sorted(summaries, key=lambda summary: (summary.created_at, summary.name))


def _looked_at(look: Deadline, store: Store, address: ExperimentAddress) -> ExperimentSummary | None:
    """The summary within the deadline; an error names the experiment."""
    with errors_of("list the experiment", f"{address.root}/{address.paths.folder}"):
        return look.call(lambda: _summary(store, address))


def experiment_status(root: str, experiment: str | None = None) -> ExperimentStatus:
    """Where an experiment stands.

    Args:
        root: the folder that holds it.
        experiment: its name; None for the only one there is, or the newest that is under way.

    Raises:
        ExperimentNotFoundError: it does not exist, or the folder holds no experiments.
        UserError: there are several, all of them ended; they are named.
        SwarmStateError: the newest state record is not one that this version reads.
        StoreError: the folder cannot be read.
    """
    return experiment_reading(root, experiment).status()


def experiment_reading(root: str, experiment: str | None = None) -> ExperimentReading:
    """One look at an experiment, from which `status` is told; arguments and errors are those of `experiment_status`."""
    return read_now(open_experiment(root, experiment or _only_experiment(root)))


get_experiment_status = experiment_status
"""The name under which users of other experiment managers look for it."""


def experiment_history(root: str, experiment: str, problems: list[str] | None = None) -> list[ClosedStage]:
    """The stages that closed, in order; one per round in SAPO.

    Args:
        root: the folder that holds the experiment.
        experiment: its name.
        problems: takes a line for each state record that is missing or cannot be used; what came after it is left out.

    Raises:
        ExperimentNotFoundError: the experiment does not exist.
        SwarmStateError: there is such a problem and no list was passed for it, or this version cannot read a record.
        StoreError: the folder cannot be read.
    """
    return history_of(open_experiment(root, experiment), problems)


def compare_experiments(
    root: str, names: Sequence[str], problems: list[str] | None = None
) -> list[Comparison]:
    """The figures of experiments, in the order of `names`.

    Args:
        root: the folder that holds the experiments.
        names: which.
        problems: as for `experiment_history`; the figures are then those of what there is.

    Raises:
        ExperimentNotFoundError: one of them is not there.
        ConfigError: the stored configuration of one is missing or was altered.
        SwarmStateError: as for `experiment_history`.
        StoreError: the folder cannot be read.
    """
    return [comparison_of(open_experiment(root, name), problems) for name in names]


def experiment_metrics(root: str, experiment: str, problems: list[str] | None = None) -> list[StepMetrics]:
    """The rows that all nodes logged, by round and then by node.

    Args:
        root: the folder that holds the experiment.
        experiment: its name.
        problems: takes a line for each segment that is torn or missing, and each row that cannot be read.

    Raises:
        ExperimentNotFoundError: the experiment does not exist.
        MalformedFile: a segment is torn or missing, and no list was passed for that.
        StoreError: the folder cannot be read.
    """
    return metrics_of(open_experiment(root, experiment), problems)


def _only_experiment(root: str) -> str:
    """The experiment to use when no name is given."""
    found = list_experiments(root)
    if not found:
        raise ExperimentNotFoundError(f"no experiment in {root}; give the root that it was made in")
    meant = found if len(found) == 1 else [summary for summary in found if summary.state in UNDER_WAY]
    if meant:
        return meant[-1].name
    names = ", ".join(summary.name for summary in found[-9:])
    raise UserError(f"there are {len(found)} experiments in {root}, all of them ended; name one: {names}")


def _summary(store: Store, address: ExperimentAddress) -> ExperimentSummary | None:
    """One experiment's line, None for a folder without one; an unreadable one does not hide the others."""
    created_at = ""
    try:
        identity = find_identity(store, address)
        if identity is None:
            return None
        created_at = identity.created_at
        return _readable(OpenExperiment(address, store, identity))
    except SwarmError as error:
        return ExperimentSummary(address.experiment, created_at=created_at, problem=str(error))


def _readable(experiment: OpenExperiment) -> ExperimentSummary:
    found = experiment.newest()
    record = found[1] if found else record_from_nodes(experiment)
    config, problem = None, None
    identity = experiment.identity
    try:
        read_config_file(experiment.store, experiment.address, identity, identity.config_hash)
        config = identity.sizes or sizes_of(experiment.config())
    except (ConfigError, InvalidName) as error:
        problem = str(error)
    rounds = config.rounds if config else None
    return ExperimentSummary(
        name=experiment.paths.experiment,
        state=shown_state(record) if record else ExperimentState.WAITING,
        round=current_round(record) if record else -1,
        rounds=record.rounds if record else rounds,
        nodes=len(record.tallies) if record else 0,
        created_at=identity.created_at,
        local=config.local if config else None,
        external=config.external if config else None,
        completions=config.completions if config else None,
        seed=config.seed if config else None,
        learned_nothing=record.learned_nothing if record else False,
        problem=problem,
    )
