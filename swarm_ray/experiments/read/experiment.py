"""Opens experiments for reading, from their folders alone, and makes nothing there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from drive_store import (
    EXPERIMENTS,
    ExperimentPaths,
    ExperimentStore,
    NotAFile,
    StateEntry,
    Store,
    history,
    newest,
    valid_id,
)
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import ExperimentNotFoundError, SwarmError, SwarmStateError, UserError
from swarm_ray.exchange.state_follower import decode_state
from swarm_ray.experiments.folder import ExperimentAddress, ExperimentIdentity, read_config, read_identity
from swarm_ray.formatting import clean
from swarm_ray.records.state import StateRecord


@dataclass(frozen=True)
class StateLog:
    """The state records of the chain that is obeyed, from the first one on.

    Drive may show a record before the one that it follows; what comes after such a gap is not in it.
    """

    entries: tuple[StateEntry, ...]
    problems: tuple[str, ...]
    """A line for each record that cannot be used, and one where the log breaks off."""
    whole: bool
    """Whether it reaches the newest record in the folder."""


@dataclass(frozen=True)
class ExperimentFolder:
    """What is kept under an experiment's name, whether or not it says who it is."""

    address: ExperimentAddress
    store: Store

    @property
    def paths(self) -> ExperimentPaths:
        """Every path of the experiment."""
        return self.address.paths

    @property
    def view(self) -> ExperimentStore:
        """The store with the experiment's paths."""
        return ExperimentStore(self.store, self.paths)

    def age(self, *keys: str) -> float | None:
        """Seconds since the newest of the files was written; None if none is seen; by wall clocks, so for people."""
        written = [at for key in keys if (at := self.store.modified(key)) is not None]
        return max(0.0, time.time() - max(written)) if written else None


@dataclass(frozen=True)
class OpenExperiment(ExperimentFolder):
    """An experiment that is there: where it is, and who it says it is."""

    identity: ExperimentIdentity

    def config(self, in_force: str = "") -> SwarmConfig:
        """A configuration stored with it.

        Args:
            in_force: the hash that a state record names (`StateRecord.config_hash`); empty for the one that it was
                made with.

        Raises:
            ConfigError: it is missing or was altered.
        """
        return read_config(self.store, self.address, in_force)

    def config_in_force(self) -> SwarmConfig:
        """The configuration that the newest state record names, else the one that it was made with.

        Raises:
            ConfigError: it is missing or was altered.
            SwarmStateError: the newest state record is not one that this version reads.
        """
        found = self.newest()
        return self.config(found[1].config_hash if found else "")

    def newest(self) -> tuple[StateEntry, StateRecord] | None:
        """The newest state record, None before the first; at most three listings, whatever the swarm's size.

        Raises:
            SwarmStateError: it is not one that this version reads.
        """
        entry = newest(self.view)
        return None if entry is None else (entry, decode_state(entry))

    def log(self) -> StateLog:
        """The state log as far as it can be read.

        Raises:
            StoreError: the folder cannot be read.
        """
        name = self.paths.experiment
        last = newest(self.view)  # looked at first: a swarm that runs on makes no gap
        damaged: list[str] = []
        entries = history(self.view, problems=damaged)
        problems = [f"the state log of {name}: {line}" for line in damaged]
        known = entries[-1].ref.position if entries else None
        whole = last is None or (known is not None and known >= last.ref.position)
        if last is not None and not whole:
            read = "cannot be read" if known is None else f"can be read up to record {known[1]} only"
            problems.append(
                f"the state log of {name} {read}, and its newest record is {last.ref.sequence}: one is missing or "
                "not whole, and what came after it is not counted; look again later"
            )
        return StateLog(tuple(entries), tuple(problems), whole)

    def checked_log(self, problems: list[str] | None) -> StateLog:
        """The state log as far as it can be read, with a line for what is missing.

        Args:
            problems: takes a line for each record that is missing or cannot be used.

        Raises:
            SwarmStateError: there is such a record, and no list was passed for the line.
            StoreError: the folder cannot be read.
        """
        log = self.log()
        report(log.problems, problems, SwarmStateError)
        return log


_NAMED = 5
"""Problems that one error names."""


def report(found: Sequence[str], problems: list[str] | None, error: type[SwarmError]) -> None:
    """Hand on what cannot be read.

    Args:
        found: a line for each thing.
        problems: takes the lines.
        error: raised where no list was passed for them.
    """
    lines = [clean(line) for line in found]
    if problems is not None:
        problems.extend(lines)
    elif lines:
        more = f" (and {len(lines) - _NAMED} more)" if len(lines) > _NAMED else ""
        raise error(f"{'; '.join(lines[:_NAMED])}{more}; pass a list of problems to have the rest")


def open_root(root: str) -> Store:
    """The folder that holds experiments.

    Raises:
        UserError: the folder does not exist.
        StoreError: it cannot hold a store.
    """
    store = Store(root)
    try:
        there = Path(store.root or "/").is_dir()
    except OSError as error:
        raise UserError(f"{store.root} cannot be looked at ({error.strerror}); give another root") from error
    if not there:
        raise UserError(
            f"folder {store.root} does not exist; mount it, or give the root that the experiment was made in"
        )
    return store


def open_experiment(root: str, experiment: str) -> OpenExperiment:
    """An experiment by its name.

    Raises:
        ExperimentNotFoundError: the root has no experiment of that name; those that it has are named.
        UserError: the root is not a folder, the name is not valid, or `experiment.json` cannot be read.
    """
    address = ExperimentAddress(root, experiment)
    store = open_root(root)
    identity = find_identity(store, address)
    if identity is None:
        others = [name for name in possible_names(store) if _has_identity(store, name)]
        known = f"there are {', '.join(others[:9])}" if others else "it holds no experiments"
        raise ExperimentNotFoundError(f"no experiment {experiment!r} in {store.root}; {known}")
    return OpenExperiment(address, store, identity)


def possible_names(store: Store) -> list[str]:
    """Names in the folder of experiments that an experiment may have, sorted."""
    return [name for name in store.names(EXPERIMENTS) if valid_id(name)]


def find_identity(store: Store, address: ExperimentAddress) -> ExperimentIdentity | None:
    """What `experiment.json` says; None without that file.

    Raises:
        UserError: it is not one that this version reads, or it is that of an experiment of another name.
    """
    try:
        identity = read_identity(store, address)
    except NotAFile:  # a file lies among the experiments, or a folder where the identity should be
        return None
    if identity is not None and identity.experiment != address.experiment:
        raise UserError(
            f"{store.root}/{address.paths.folder} was made as {clean(identity.experiment)!r}, and every file in it "
            "says so: give the folder that name again, and another one by swarm-ray rename"
        )
    return identity


def _has_identity(store: Store, name: str) -> bool:
    with suppress(NotAFile):
        return store.size(ExperimentPaths(name).experiment_json) is not None
    return False
