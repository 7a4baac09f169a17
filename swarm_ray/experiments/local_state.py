"""This machine's own folder for an experiment: checkpoints, spools and logs; and whether it runs here."""

from __future__ import annotations

import hashlib
from pathlib import Path

from drive_store import Store, StoreUnavailable
from swarm_ray.errors import NodeTakenError
from swarm_ray.experiments.folder import MAX_IDENTITY, ExperimentAddress
from swarm_ray.machine.local_disk import Lock, state_folder

_RUN_LOCK = "run.lock"


def local_folder(address: ExperimentAddress) -> Path:
    """This machine's own folder for an experiment.

    It is named after the experiment and its sentinel, so that one that was overwritten starts with nothing, and one
    whose root was moved or mounted elsewhere finds its own again.

    Raises:
        StoreUnavailable: the experiment's folder cannot be read.
    """
    sentinel = Store(address.root).read(address.paths.experiment_json, MAX_IDENTITY)
    if sentinel is None:
        raise StoreUnavailable(f"{address.root}/{address.paths.experiment_json} is not there; is it mounted?")
    return state_folder() / f"{address.experiment}-{hashlib.sha256(sentinel).hexdigest()[:12]}"


def hold_for_run(address: ExperimentAddress) -> Lock:
    """A lock that says that a process of this machine runs the experiment; several may hold it.

    Raises:
        StoreUnavailable: the experiment's folder cannot be read.
        NodeTakenError: the experiment is just being removed.
    """
    return Lock(local_folder(address) / _RUN_LOCK, f"experiment {address.experiment}", shared=True)


def is_run_here(address: ExperimentAddress) -> bool:
    """Whether a living process of this machine runs the experiment.

    Raises:
        StoreUnavailable: the experiment's folder cannot be read.
    """
    path = local_folder(address) / _RUN_LOCK
    if not path.exists():
        return False
    try:
        Lock(path, address.experiment).release()
    except NodeTakenError:
        return True
    return False
