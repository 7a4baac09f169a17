"""Values under names: what a node shows to all others apart from its round files, the newest of each name.

A name may be any bytes; its hash stands in the key. Every value is a new file, so that nothing is ever rewritten.
"""

from __future__ import annotations

from drive_store.envelope import Header, payload_sha256, seal_packed
from drive_store.envelope_reading import NotYet, Reading, read_envelope
from drive_store.errors import FolderMissing, TooLarge
from drive_store.experiment_store import ExperimentStore
from drive_store.names import HASH_DIGITS, parse_named_value_name, twin_name

KIND = "named-value"
MAX_NAMES = 200
"""Names that one incarnation may have, so that its folder stays small."""
_KEPT = 2  # of each name: whoever has just listed the folder still finds what it saw


class NamedValues:
    """The values of one incarnation of a node, for the process that has it.

    Args:
        experiment: where to.
        node: whose they are.
        incarnation: its process life.
    """

    def __init__(self, experiment: ExperimentStore, node: str, incarnation: str) -> None:
        self._store, self._paths, self._peer = experiment.store, experiment.paths, (node, incarnation)
        self.incarnation = incarnation
        self._keys: dict[str, list[str]] = {}
        self._count = 0

    def put(self, name: bytes, value: bytes) -> str:
        """Show a value under a name, in the place of the one before; answers its key.

        Raises:
            TooLarge: there are too many names.
            StoreError: it could not be written.
        """
        name_hash = payload_sha256(name)[:HASH_DIGITS]
        keys = self._keys.setdefault(name_hash, [])
        if len(self._keys) > MAX_NAMES:
            del self._keys[name_hash]
            raise TooLarge(f"{self._peer[0]} has values under {MAX_NAMES} names already; use names again")
        node, incarnation = self._peer
        key = self._paths.named_value(node, incarnation, name_hash, self._count, payload_sha256(value))
        header = Header(
            kind=KIND,
            experiment=self._paths.experiment,
            node=node,
            incarnation=incarnation,
            sequence=self._count,
        )
        self._create(key, seal_packed(header, value))
        self._count += 1
        keys.append(key)
        while len(keys) > _KEPT:
            self._store.remove(keys.pop(0))
        return key

    def _create(self, key: str, data: bytes) -> None:
        try:
            self._store.create(key, data)
        except FolderMissing:
            self._store.make_folder(self._paths.named_values_folder(*self._peer))
            self._store.create(key, data)


def read_newest_value(
    experiment: ExperimentStore,
    *,
    node: str,
    incarnation: str,
    name: bytes,
    max_payload: int,
) -> Reading:
    """Read the newest value that an incarnation shows under a name; NotYet where there is none.

    Args:
        experiment: where it is.
        node: the writer.
        incarnation: its process life.
        name: any bytes.
        max_payload: the most bytes the value may have.

    Raises:
        StoreError: the store itself cannot be read.
    """
    name_hash = payload_sha256(name)[:HASH_DIGITS]
    texts = experiment.store.names(experiment.paths.named_values_folder(node, incarnation))
    found = [v for text in texts if (v := parse_named_value_name(text)) and v.name == name_hash]
    if not found:
        return NotYet(f"{node} shows nothing under that name")
    newest = max(found, key=lambda value: (value.number, -value.twin))
    key = experiment.paths.named_value(node, incarnation, newest.name, newest.number, newest.hash)
    return read_envelope(
        experiment.store,
        twin_name(key, newest.twin),
        kind=KIND,
        experiment=experiment.name,
        node=node,
        incarnation=incarnation,
        max_payload=max_payload,
    )
