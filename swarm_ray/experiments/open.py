"""Creates an experiment, or opens one to resume it. Neither torch nor Ray is imported."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from drive_store import ExperimentStore, Store, newest
from swarm_ray.config.load import Overrides, config_hash, extend_config, load_config, require_same_experiment
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.exchange.state_follower import decode_state
from swarm_ray.experiments.folder import (
    ExperimentAddress,
    create_experiment,
    local_folder,
    read_config,
    read_identity,
    require_free,
    store_config,
)
from swarm_ray.experiments.manage.files import refuse_link
from swarm_ray.experiments.manage.in_use import refuse_in_use
from swarm_ray.experiments.read.experiment import ExperimentFolder
from swarm_ray.records.state import ExperimentState, StateRecord
from swarm_ray.tasks.questions import TaskSet

ROLE = "coordinator"
"""Who may coordinate: claimants of this name, each with an incarnation of its own."""


@dataclass(frozen=True)
class Opened:
    """An experiment that is ready to be run."""

    config: SwarmConfig
    record: StateRecord | None
    """The newest state record of one that is resumed; None for a new one, or one that never began."""

    @property
    def over(self) -> bool:
        """Whether all its rounds have run."""
        return (
            self.record is not None
            and self.record.state == ExperimentState.FINISHED
            and self.record.rounds >= self.config.rounds
        )


def config_for(
    root: str,
    experiment: str | None,
    preset: str | None,
    file: Path | str | None,
    overrides: Overrides,
    *,
    overwrite: bool,
) -> SwarmConfig:
    """What a command line means: for an experiment that is there, its own configuration with the overrides on it.

    Raises:
        ConfigError: a key or value is impossible, or would change what is fixed.
    """
    if experiment is None or overwrite or preset is not None or file is not None:
        return load_config(preset, file, overrides)
    address = ExperimentAddress(root, experiment)
    store = Store(root)
    if read_identity(store, address) is None:
        return load_config(preset, file, overrides)
    return extend_config(config_in_force(store, address), overrides)


def open_or_create(address: ExperimentAddress, config: SwarmConfig, *, overwrite: bool) -> Opened:
    """Create the experiment, or open the one of that name to resume it.

    Raises:
        ConfigError: it is there, with other settings in what is fixed.
        UserError: it is to be overwritten while it runs; or the name belongs to something else.
        StoreError: the folder cannot be written.
    """
    store = Store(address.root)
    if overwrite or read_identity(store, address) is None:
        _make(address, config, overwrite=overwrite)
        return Opened(config, None)
    stored = config_in_force(store, address)
    require_same_experiment(config, stored)
    if config_hash(config) != config_hash(stored):
        store_config(store, address, config)
    return Opened(config, newest_record(store, address))


def init_experiment(
    root: str,
    name: str,
    preset: str | None = None,
    overrides: Overrides = (),
    *,
    file: Path | str | None = None,
    overwrite: bool = False,
) -> SwarmConfig:
    """Create an experiment that `coordinate` or `simulate` of the same name runs.

    Args:
        root: the folder that holds experiments; it is made where it is not there.
        name: the experiment's.
        preset: what the configuration begins with; None takes the one that the file or an override names, else `tiny`.
        overrides: `key=value`; they win over preset and file.
        file: a YAML file that is laid over the preset.
        overwrite: delete an experiment of that name first, unless it is in use.

    Returns:
        Its configuration.

    Raises:
        ExperimentExistsError: there is one of that name, and `overwrite` is not set.
        ConfigError: a key or a value is impossible.
        UserError: the name cannot be one, or what is to be overwritten is in use or not an experiment.
        StoreError: the folder cannot be written.
    """
    config = load_config(preset, file, overrides)
    address = ExperimentAddress(root, name)
    require_free(address, overwrite=overwrite)
    return open_or_create(address, config, overwrite=overwrite).config


def config_in_force(store: Store, address: ExperimentAddress) -> SwarmConfig:
    """The configuration that the newest state record names, else the one it was made with.

    Raises:
        ConfigError: the file is missing, altered, or not a configuration.
    """
    record = newest_record(store, address)
    return read_config(store, address, record.config_hash if record else "")


def newest_record(store: Store, address: ExperimentAddress) -> StateRecord | None:
    """The newest state record; None before the first."""
    found = newest(ExperimentStore(store, address.paths))
    return decode_state(found) if found else None


def _make(address: ExperimentAddress, config: SwarmConfig, *, overwrite: bool) -> None:
    TaskSet(
        config.tasks
    )  # checked first: a wrong name or option must neither create nor remove an experiment
    if not require_free(address, overwrite=overwrite):
        folder = ExperimentFolder(address, Store(address.root))
        refuse_link(folder, "overwritten")
        refuse_in_use(folder, "overwritten")
        if (here := local_folder(address)).exists():
            shutil.rmtree(here)
    create_experiment(address, config, claimant=ROLE, overwrite=overwrite)
