"""Counts the store operations of an actor, as the records report them."""

from __future__ import annotations

from dataclasses import asdict

from drive_store import Operations, Store, StoreUnavailable
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
        self._store, self._told = store, dict.fromkeys(asdict(store.operations), 0)

    def total(self) -> StoreUse:
        """Since the store was opened."""
        return _use_of(asdict(self._store.operations))

    def since_last(self) -> StoreUse:
        """Since the last call; the first time, since the store was opened."""
        now = asdict(self._store.operations)
        before, self._told = self._told, now
        return _use_of({kind: count - before[kind] for kind, count in now.items()})


def add_use(*uses: StoreUse | None) -> StoreUse:
    """The sum; None counts as nothing."""
    total = dict.fromkeys(asdict(Operations()), 0)
    for use in filter(None, uses):
        for kind, count in use.operations.items():
            total[kind] = total.get(kind, 0) + count
        total["bytes_read"] += use.bytes_read
        total["bytes_written"] += use.bytes_written
    return _use_of(total)


def _use_of(counts: dict[str, int]) -> StoreUse:
    calls = {kind: count for kind, count in counts.items() if kind not in BYTES and count}
    return StoreUse(calls, counts["bytes_read"], counts["bytes_written"])


class LazyStore:
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
            StoreUnavailable: it is unreachable, or a different folder.
        """
        if self._attached:
            self.store.check()
        else:
            self.store.attach(self._sentinel)
            self._attached = True
