"""Counts the store operations of an actor, as the records report them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict

from drive_store import ExperimentStore, Store, StoreUnavailable
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.records.nodes import StoreUse

BYTES = ("bytes_read", "bytes_written")


class StoreMeter:
    """Reads the counts of a store that its actor alone uses; they begin with the store, at 0.

    The read of `experiment.json` by which an actor finds its folder on this machine's disk goes through a separate
    store and is not counted: one read per process.

    Args:
        store: the actor's.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._told = store, Counter[str]()

    def total(self) -> StoreUse:
        """Since the store was opened."""
        return _use_of(asdict(self._store.operations))

    def since_last(self) -> StoreUse:
        """Since the last call; the first time, since the store was opened."""
        before, self._told = self._told, Counter(asdict(self._store.operations))
        return _use_of(self._told - before)


def add_use(*uses: StoreUse | None) -> StoreUse:
    """The sum; None counts as nothing."""
    total: Counter[str] = Counter()
    for use in filter(None, uses):
        total.update(use.operations, bytes_read=use.bytes_read, bytes_written=use.bytes_written)
    return _use_of(total)


def _use_of(counts: Mapping[str, int]) -> StoreUse:
    calls = {kind: count for kind, count in counts.items() if kind not in BYTES and count}
    return StoreUse(calls, counts.get("bytes_read", 0), counts.get("bytes_written", 0))


class LazyStore:
    """An experiment whose store is attached to it as soon as the folder is there.

    Args:
        address: the experiment.
    """

    def __init__(self, address: ExperimentAddress) -> None:
        self._sentinel = address.paths.experiment_json
        try:
            self.experiment, self._attached = address.open(), True
        except StoreUnavailable:
            self.experiment, self._attached = ExperimentStore(Store(address.root), address.paths), False

    def check(self) -> None:
        """Make sure that the folder is the experiment's; to be called before each batch of writes.

        Raises:
            StoreUnavailable: it is unreachable, or a different folder.
        """
        if self._attached:
            self.experiment.store.check()
        else:
            self.experiment.store.attach(self._sentinel)
            self._attached = True
