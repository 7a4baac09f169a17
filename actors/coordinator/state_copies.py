"""Derived copies of a state record, for people; nobody reads them back."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from drive_store import ExperimentStore, NameTaken, Store
from swarm_ray.records.state import StateRecord


def write_copies(experiment: ExperimentStore, record: StateRecord) -> None:
    """Write `current_state.json`, and the rewards and winners of the round that closed.

    Raises:
        StoreError: the folder is lost, full or not writable.
    """
    opens, closed = record.opens, record.closed
    current = {
        "state": record.state,
        "round": opens.round if opens else None,
        "stage": opens.stage if opens else None,
        "rounds": record.rounds,
        "members": [m.node for m in opens.members] if opens else [],
        "note": record.note,
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    experiment.store.replace_copy(experiment.paths.current_state, _readable(current))
    if closed is None or closed.stage > 0:  # a game's files tell rewards and votes in its first stage
        return
    for key, value in (
        (experiment.paths.rewards(closed.round), closed.rewards),
        (experiment.paths.winners(closed.round), closed.winners),
    ):
        _create_copy(experiment.store, key, _readable(value))


def _create_copy(store: Store, key: str, data: bytes) -> None:
    store.make_folder(key.rpartition("/")[0])
    try:
        store.create(key, data)
    except NameTaken:
        store.replace_copy(key, data)


def _readable(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
