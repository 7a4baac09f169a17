"""The experiment's folder for an actor that comes up although the folder is out of reach."""

from __future__ import annotations

from drive_store import Store, StoreUnavailable
from swarm_ray.experiments.folder import ExperimentAddress


class Reach:
    """A store that is attached to the experiment as soon as the folder is there.

    Args:
        address: the experiment.
    """

    def __init__(self, address: ExperimentAddress) -> None:
        self._sentinel = address.paths.experiment_json
        try:
            self.store, self._attached = address.open().store, True
        except StoreUnavailable:
            self.store, self._attached = Store(address.root), False

    def check(self) -> None:
        """Make sure that the folder is the experiment's; to be called before each batch of writes.

        Raises:
            StoreUnavailable: it is out of reach, or another one.
        """
        if self._attached:
            self.store.check()
        else:
            self.store.attach(self._sentinel)
            self._attached = True
