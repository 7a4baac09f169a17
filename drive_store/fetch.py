"""From a key of the store to a reading, and to the question whether a file is the one we wrote."""

from __future__ import annotations

from drive_store.errors import NotAFile, TooLarge
from drive_store.frame import HEAD_LIMIT
from drive_store.names import twin_name
from drive_store.reading import Reading, Rejected, open_envelope
from drive_store.store.store import Store


def read_envelope(
    store: Store,
    key: str,
    *,
    kind: str,
    experiment: str | None,
    node: str | None = None,
    incarnation: str | None = None,
    max_payload: int,
    twin_too: bool = False,
) -> Reading:
    """Read a file of the store and open it.

    Args:
        store: where the file is.
        key: its key.
        kind: what the envelope must hold.
        experiment: the experiment it must belong to; None for any.
        node: its writer; None for any.
        incarnation: its writer's incarnation; None for any.
        max_payload: the most bytes the payload may have.
        twin_too: look for ``name (1)`` where the name itself is not seen: once there was a twin, Drive's mount may
            keep showing the remaining file under that name.

    Returns:
        The one reading that applies.

    Raises:
        StoreError: the store itself cannot be read.
    """
    limit = max_payload + max_payload // 128 + 2 * HEAD_LIMIT
    try:
        data = store.read(key, limit)
        if data is None and twin_too:
            data = store.read(twin_name(key, 1), limit)
    except (TooLarge, NotAFile) as error:
        return Rejected(str(error))
    return open_envelope(
        data, kind=kind, experiment=experiment, node=node, incarnation=incarnation, max_payload=max_payload
    )


def holds(store: Store, key: str, data: bytes, *, beginning: bool = False) -> bool:
    """Say whether a file holds these bytes: so a repeated write tells its own file from another.

    Args:
        store: where the file is.
        key: its key.
        data: what it should hold.
        beginning: ask instead whether it holds a beginning of them, as a write that failed leaves.

    Raises:
        StoreError: the store itself cannot be read.
    """
    size = store.size(key)
    if size is None or size > len(data) or (size < len(data) and not beginning):
        return False
    found = store.read(key, len(data))
    return found is not None and (data.startswith(found) if beginning else found == data)
