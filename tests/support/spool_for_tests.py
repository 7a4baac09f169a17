"""What the tests of the spool share: a clock, a store with faults, and one round file after another."""

from pathlib import Path

from drive_store import (
    ExperimentPaths,
    ExperimentStore,
    Spool,
    SpoolEntry,
    Store,
    Valid,
    create_experiment_folder,
    read_round_file,
)
from drive_store.testing import FaultyStore

PATHS = ExperimentPaths("tea")
A, B = "0123abcd", "89abcdef"
RETRY_S = 120.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def open_store(root: Path) -> FaultyStore:
    store = FaultyStore(str(root))
    create_experiment_folder(ExperimentStore(store, PATHS))
    store.create(PATHS.experiment_json, b"{}")
    store.attach(PATHS.experiment_json)
    return store


def open_spool(store: Store, clock: Clock, folder: Path, incarnation: str = A) -> Spool:
    return Spool(folder, ExperimentStore(store, PATHS), "n1", incarnation, retry_s=RETRY_S, clock=clock)


def hold(spool: Spool, step: int = 5, payload: bytes = b"rollouts") -> SpoolEntry:
    payload += b"%d" % step
    return spool.hold(round=17, stage=0, step=step, epoch=3, payload=payload, attachment=b"tokens")


def in_store(store: Store, entry: SpoolEntry) -> list[str]:
    """Keys of the entry's files that are whole in the store."""
    whole = []
    for key in entry.keys:
        said = {"node": "n1", "incarnation": key.split("/")[3].partition(".")[2], "sha256": entry.sha256}
        reading = read_round_file(ExperimentStore(store, PATHS), key, **said, max_payload=1000)
        if isinstance(reading, Valid):
            assert (reading.payload, reading.header.sequence) == (entry.payload, entry.step)
            whole.append(key)
    return whole
