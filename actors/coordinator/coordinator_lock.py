"""The coordinator's place on this machine: one process at a time, which knows those that had it before."""

from __future__ import annotations

from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.experiments.local_state import local_folder
from swarm_ray.machine.local_disk import Lock, read_words

KEPT = 64
"""So many predecessors are remembered."""


class Seat:
    """Taken for the life of a process; that it could be had proves every predecessor of this machine dead.

    Args:
        address: the experiment.
        claimant: who takes it.

    Raises:
        NodeTakenError: another process of this machine coordinates the experiment.
        StoreUnavailable: the experiment's folder cannot be read.
    """

    def __init__(self, address: ExperimentAddress, claimant: str) -> None:
        folder = local_folder(address)
        self._lock = Lock(folder / "coordinator.lock", f"the coordinator of {address.experiment!r}")
        names = folder / "coordinators.txt"
        before = list(read_words(names))
        self.predecessors = frozenset(before)
        """Claimants that are known to be dead."""
        # Named before its first record can be seen, so that no record is ever of an unknown one of this machine.
        fresh = names.with_suffix(".new")
        fresh.write_text("\n".join([*before[-KEPT:], claimant]) + "\n")
        fresh.replace(names)

    def release(self) -> None:
        """Let another have it; harmless when repeated."""
        self._lock.release()
