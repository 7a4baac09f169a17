"""The newest records of the chain that is obeyed, read backwards from its end."""

from __future__ import annotations

from drive_store import ExperimentStore, StateEntry, StateRef, newest
from drive_store.names import StateName
from drive_store.statelog.record import list_bucket, read_record
from swarm_ray.exchange.state_follower import decode_state
from swarm_ray.records.state import StateRecord

TAIL = 100
"""So many records at most are read, however long the log is."""


def read_tail(
    experiment: ExperimentStore, most: int = TAIL
) -> tuple[tuple[StateRef, ...], tuple[StateRecord, ...]]:
    """Read the newest records, each found by the hash in the one after it.

    Returns:
        Their names and themselves, oldest first; fewer than `most` where the log begins, or a link is not to be seen.

    Raises:
        SwarmStateError: a record is none that this version reads.
        StoreError: the folder cannot be read.
    """
    listed: dict[str, list[StateName]] = {}
    entries: list[StateEntry] = []
    entry = newest(experiment)
    while entry is not None:
        entries.append(entry)
        if len(entries) == most or not entry.header.previous:
            break
        entry = _predecessor(experiment, entry, listed)
    entries.reverse()
    return tuple(e.ref for e in entries), tuple(decode_state(e) for e in entries)


def _predecessor(
    experiment: ExperimentStore, entry: StateEntry, listed: dict[str, list[StateName]]
) -> StateEntry | None:
    sequence = entry.ref.sequence - 1
    if sequence < 0:
        return None
    folder = experiment.paths.state_bucket(sequence)
    if folder not in listed:
        listed[folder] = list_bucket(experiment.store, folder)
    for name in listed[folder]:
        if name.sequence == sequence and name.epoch <= entry.ref.epoch:
            found = read_record(experiment, name)
            if isinstance(found, StateEntry) and found.ref.sha256 == entry.header.previous:
                return found
    return None
