"""What a node publishes for the others: written once, under a name that is never used again.

A *round file* is the one file that a node publishes per round and stage. Its name carries round, stage, attempt and the
beginning of the payload's hash; whether it counts is said by the state log, which names it with its whole hash. A
*value* lies beside a round file that stands for it, for those who cannot get it in another way. A *named value* is
shown under a name, apart from any round; the newest of each name counts.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

import msgspec

from drive_store.envelope import NotYet, Reading, Rejected, Valid, payload_sha256, seal_packed
from drive_store.errors import InvalidName, TooLarge
from drive_store.experiment_store import ExperimentStore, write_in_folder
from drive_store.names import (
    HASH_DIGITS,
    RoundFileName,
    parse_named_value_name,
    parse_round_file_name,
    twin_name,
)
from drive_store.store.store import Store

ROUND_FILE = "rollouts"
VALUE = "value"
NAMED_VALUE = "named-value"
MAX_NAMES = 200
"""Names that one incarnation may have, so that its folder stays small."""
_KEPT = 2  # of each name: whoever has just listed the folder still finds what it saw


@dataclass(frozen=True, kw_only=True)
class Publication:
    """What is to be published, and as whose."""

    node: str
    incarnation: str
    round: int
    stage: int
    payload: bytes
    attempt: int = 0
    """Counts the retries of a publication that never became visible; each has a name of its own."""
    epoch: int = 0
    """The coordinator's term that the node obeys."""
    sequence: int = 0
    """The node's step, say; a number that grows."""


class PublishedFile(msgspec.Struct, frozen=True):
    """A round file in the store."""

    key: str
    sha256: str
    """Of the payload."""
    size: int
    """Bytes of the file."""


def publish_round_file(experiment: ExperimentStore, file: Publication) -> PublishedFile:
    """Write a round file, once; the bucket's folder is made when its first file is.

    Args:
        experiment: where to.
        file: what is published.

    Returns:
        Name, hash and size. A second call with the same arguments finds the file of the first and succeeds.

    Raises:
        NameTaken: a damaged file has the name; publish again as the next attempt.
        StoreError: the file could not be written.
    """
    sha256 = payload_sha256(file.payload)
    key = experiment.paths.round_file(
        file.node, file.incarnation, file.round, file.stage, file.attempt, sha256
    )
    header = experiment.header(
        ROUND_FILE,
        file.node,
        file.incarnation,
        epoch=file.epoch,
        round=file.round,
        stage=file.stage,
        sequence=file.sequence,
    )
    data = seal_packed(header, file.payload)
    _create_once(experiment.store, key, data)
    return PublishedFile(key, sha256, len(data))


def find_round_files(
    experiment: ExperimentStore,
    node: str,
    incarnation: str,
    round: int,  # noqa: A002
) -> list[tuple[str, RoundFileName]]:
    """List an incarnation's files of one round, in one listing.

    Returns:
        Key and name of each, sorted by stage, attempt and hash. A file that is shown under a twin's name
        only has a twin's key, which can be read.

    Raises:
        StoreError: the store itself cannot be read.
    """
    return [
        found for found in find_bucket_files(experiment, node, incarnation, round) if found[1].round == round
    ]


def find_bucket_files(
    experiment: ExperimentStore,
    node: str,
    incarnation: str,
    round: int,  # noqa: A002
    *,
    settled: Collection[str] = (),
) -> list[tuple[str, RoundFileName]]:
    """List an incarnation's files of all the rounds that share a bucket with one; see `find_round_files`.

    Args:
        experiment: where they are.
        node: the writer.
        incarnation: its process life.
        round: any round of the bucket.
        settled: keys that are known already: left out, with their twins, before anything is parsed.
    """
    folder = experiment.paths.rollouts_bucket(node, incarnation, round)
    fresh = [text for text in experiment.store.names(folder) if f"{folder}/{text}" not in settled]
    names = [name for text in fresh if (name := parse_round_file_name(text)) is not None]
    names.sort(key=lambda name: -name.twin)  # so that a name itself counts before its twins
    found = {(name.round, name.stage, name.attempt, name.hash): name for name in names}
    return [
        (twin_name(key, name.twin), name)
        for turn, name in sorted(found.items())
        if (key := experiment.paths.round_file(node, incarnation, *turn)) not in settled
    ]


def read_round_file(
    experiment: ExperimentStore,
    key: str,
    *,
    node: str,
    incarnation: str,
    sha256: str | None,
    max_payload: int,
) -> Reading:
    """Read a round file.

    Args:
        experiment: where it is.
        key: its key, from a listing or from a state record.
        node: the node that must have written it.
        incarnation: the writer's incarnation.
        sha256: the payload's hash as the state record names it; None when nothing has named it yet.
        max_payload: the most bytes the payload may have.

    Returns:
        The one reading that applies. A valid envelope under a name that it contradicts is rejected.

    Raises:
        StoreError: the store itself cannot be read.
    """
    reading = experiment.read(key, ROUND_FILE, node, incarnation, max_payload=max_payload, twin_too=True)
    if not isinstance(reading, Valid):
        return reading
    if sha256 is not None and reading.sha256 != sha256:
        return Rejected(f"{key} holds {reading.sha256}, and the state record names {sha256}")
    name, header = parse_round_file_name(key.rpartition("/")[2]), reading.header
    said = (header.round, header.stage, reading.sha256[:HASH_DIGITS])
    if name is None or (name.round, name.stage, name.hash) != said:
        return Rejected(f"{key} holds what belongs under another name: {header}")
    return reading


def publish_value(
    experiment: ExperimentStore,
    *,
    node: str,
    incarnation: str,
    round: int,  # noqa: A002
    stage: int,
    value: bytes,
) -> str:
    """Write a value, once, where the incarnation's round file of that stage lies; answers its key.

    A second call with the same arguments finds the file of the first and succeeds.

    Raises:
        NameTaken: a damaged file has the name.
        FolderMissing: that incarnation has published nothing in this round.
        StoreError: the file could not be written.
    """
    key = experiment.paths.value_file(node, incarnation, round, stage, payload_sha256(value))
    experiment.store.create_once(
        key,
        seal_packed(experiment.header(VALUE, node, incarnation, round=round, stage=stage), value),
    )
    return key


def read_value(
    experiment: ExperimentStore,
    *,
    node: str,
    incarnation: str,
    round: int,  # noqa: A002
    stage: int,
    sha256: str,
    max_payload: int,
) -> Reading:
    """Read the value that a round file stands for.

    Args:
        experiment: where it is.
        node: the writer.
        incarnation: its process life.
        round: the round file's.
        stage: the round file's.
        sha256: of the value, as the round file names it.
        max_payload: the most bytes the value may have.

    Raises:
        StoreError: the store itself cannot be read.
    """
    try:
        key = experiment.paths.value_file(node, incarnation, round, stage, sha256)
    except InvalidName as error:
        return Rejected(str(error))
    reading = experiment.read(key, VALUE, node, incarnation, max_payload=max_payload, twin_too=True)
    if isinstance(reading, Valid) and reading.sha256 != sha256:
        return Rejected(f"another value lies where {sha256} should")
    return reading


class NamedValues:
    """The values that one incarnation of a node shows under names, for the process that has it.

    A name may be any bytes; its hash stands in the key. Every value is a new file, so that nothing is ever rewritten.

    Args:
        experiment: where to.
        node: whose they are.
        incarnation: its process life.
    """

    def __init__(self, experiment: ExperimentStore, node: str, incarnation: str) -> None:
        self._experiment, self._node, self.incarnation = experiment, node, incarnation
        self._keys: dict[str, list[str]] = {}
        self._count = 0

    def put(self, name: bytes, value: bytes) -> str:
        """Show a value under a name, in place of the one before; answers its key.

        Raises:
            TooLarge: there are too many names.
            StoreError: it could not be written.
        """
        name_hash = payload_sha256(name)[:HASH_DIGITS]
        keys = self._keys.setdefault(name_hash, [])
        if len(self._keys) > MAX_NAMES:
            del self._keys[name_hash]
            raise TooLarge(f"{self._node} has values under {MAX_NAMES} names already; use names again")
        peer = (self._node, self.incarnation)
        key = self._experiment.paths.named_value(*peer, name_hash, self._count, payload_sha256(value))
        _create_once(
            self._experiment.store,
            key,
            seal_packed(self._experiment.header(NAMED_VALUE, *peer, sequence=self._count), value),
        )
        self._count += 1
        keys.append(key)
        while len(keys) > _KEPT:
            self._experiment.store.remove(keys.pop(0))
        return key


def read_newest_value(
    experiment: ExperimentStore,
    *,
    node: str,
    incarnation: str,
    name: bytes,
    max_payload: int,
) -> Reading:
    """Read the newest value that an incarnation shows under a name; NotYet without any.

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
    found = [
        v
        for text in experiment.store.names(experiment.paths.named_values_folder(node, incarnation))
        if (v := parse_named_value_name(text)) and v.name == name_hash
    ]
    if not found:
        return NotYet(f"{node} shows nothing under that name")
    newest = max(found, key=lambda value: (value.number, -value.twin))
    key = experiment.paths.named_value(node, incarnation, newest.name, newest.number, newest.hash)
    return experiment.read(
        twin_name(key, newest.twin), NAMED_VALUE, node, incarnation, max_payload=max_payload
    )


def _create_once(store: Store, key: str, data: bytes) -> None:
    write_in_folder(store, key.rpartition("/")[0], partial(store.create_once, key, data))
