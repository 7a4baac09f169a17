"""Round files: the one file that a node publishes per round and stage.

The name carries round, stage, attempt and the beginning of the payload's hash, so it is never written
twice; whether a file counts is said by the state log, which names it with its whole hash.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import msgspec

from drive_store.envelope import Header, payload_sha256, seal_packed
from drive_store.envelope_reading import Reading, Rejected, Valid, read_envelope
from drive_store.errors import FolderMissing, InvalidName, NameTaken
from drive_store.experiment_store import ExperimentStore
from drive_store.names import HASH_DIGITS, RoundFileName, parse_round_file_name, twin_name
from drive_store.paths import ExperimentPaths
from drive_store.store.store import Store

KIND = "rollouts"


class PublishedFile(msgspec.Struct, frozen=True):
    """A round file in the store."""

    key: str
    sha256: str
    """Of the payload."""
    size: int
    """Bytes of the file."""


def publish_round_file(
    experiment: ExperimentStore,
    *,
    node: str,
    incarnation: str,
    round: int,  # noqa: A002
    stage: int,
    payload: bytes,
    attempt: int = 0,
    epoch: int = 0,
    sequence: int = 0,
) -> PublishedFile:
    """Write a round file, once; the bucket's folder is made when its first file is.

    Args:
        experiment: where to.
        node: the writer.
        incarnation: its process life.
        round: the round it belongs to.
        stage: its stage.
        payload: what is published.
        attempt: counts the retries of a publication that never became visible; each has a name of its own.
        epoch: the coordinator's term that the node obeys.
        sequence: the node's step, say; a number that grows.

    Returns:
        Name, hash and size. A second call with the same arguments finds the file of the first and succeeds.

    Raises:
        NameTaken: a damaged file has the name; publish again as the next attempt.
        StoreError: the file could not be written.
    """
    sha256 = payload_sha256(payload)
    key = experiment.paths.round_file(node, incarnation, round, stage, attempt, sha256)
    header = Header(
        kind=KIND,
        experiment=experiment.name,
        node=node,
        incarnation=incarnation,
        epoch=epoch,
        round=round,
        stage=stage,
        sequence=sequence,
    )
    data = seal_packed(header, payload)
    try:
        _create(experiment.store, key, data, experiment.paths.rollouts_bucket(node, incarnation, round))
    except NameTaken:
        if not experiment.store.holds(key, data):
            raise
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
    found = find_bucket_files(experiment, node, incarnation, round)
    return [(key, name) for key, name in found if name.round == round]


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
    best: dict[tuple[int, int, int, str], RoundFileName] = {}
    for name in sorted(names, key=lambda name: name.twin):
        best.setdefault((name.round, name.stage, name.attempt, name.hash), name)
    found = [(_key(experiment.paths, node, incarnation, best[turn]), best[turn]) for turn in sorted(best)]
    return [
        (key, name)
        for key, name in found
        if _key(experiment.paths, node, incarnation, replace(name, twin=0)) not in settled
    ]


def read_round_file(
    store: Store,
    key: str,
    *,
    experiment: str,
    node: str,
    incarnation: str,
    sha256: str | None,
    max_payload: int,
) -> Reading:
    """Read a round file.

    Args:
        store: where it is.
        key: its key, from a listing or from a state record.
        experiment: the experiment it must belong to.
        node: the node that must have written it.
        incarnation: the writer's incarnation.
        sha256: the payload's hash as the state record names it; None when nothing has named it yet.
        max_payload: the most bytes the payload may have.

    Returns:
        The one reading that applies. A valid envelope under a name that it contradicts is rejected.

    Raises:
        StoreError: the store itself cannot be read.
    """
    try:
        reading = read_envelope(
            store,
            key,
            kind=KIND,
            experiment=experiment,
            node=node,
            incarnation=incarnation,
            max_payload=max_payload,
            twin_too=True,
        )
    except InvalidName as error:
        return Rejected(str(error))
    if not isinstance(reading, Valid):
        return reading
    if sha256 is not None and reading.sha256 != sha256:
        return Rejected(f"{key} holds {reading.sha256}, and the state record names {sha256}")
    return (
        reading
        if _fits(key, reading)
        else Rejected(f"{key} holds what another name should: {reading.header}")
    )


def _fits(key: str, reading: Valid) -> bool:
    name = parse_round_file_name(key.rpartition("/")[2])
    header = reading.header
    said = (header.round, header.stage, reading.sha256[:HASH_DIGITS])
    return name is not None and (name.round, name.stage, name.hash) == said


def _key(paths: ExperimentPaths, node: str, incarnation: str, name: RoundFileName) -> str:
    key = paths.round_file(node, incarnation, name.round, name.stage, name.attempt, name.hash)
    return twin_name(key, name.twin)


def _create(store: Store, key: str, data: bytes, folder: str) -> None:
    try:
        store.create(key, data)
    except FolderMissing:
        store.make_folder(folder)
        store.create(key, data)
