"""Values: what a node's round file stands for, put beside it where somebody could not get it in another way."""

from __future__ import annotations

from drive_store.envelope import Header, payload_sha256, seal_packed
from drive_store.envelope_reading import Reading, Rejected, Valid, read_envelope
from drive_store.errors import InvalidName, NameTaken
from drive_store.experiment_store import ExperimentStore

KIND = "value"


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
        FolderMissing: the round's bucket is not there, as no round file is.
        StoreError: the file could not be written.
    """
    key = experiment.paths.value_file(node, incarnation, round, stage, payload_sha256(value))
    header = Header(
        kind=KIND,
        experiment=experiment.name,
        node=node,
        incarnation=incarnation,
        round=round,
        stage=stage,
    )
    data = seal_packed(header, value)
    try:
        experiment.store.create(key, data)
    except NameTaken:
        if not experiment.store.holds(key, data):
            raise
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
        reading = read_envelope(
            experiment.store,
            experiment.paths.value_file(node, incarnation, round, stage, sha256),
            kind=KIND,
            experiment=experiment.name,
            node=node,
            incarnation=incarnation,
            max_payload=max_payload,
            twin_too=True,
        )
    except InvalidName as error:
        return Rejected(str(error))
    if isinstance(reading, Valid) and reading.sha256 != sha256:
        return Rejected(f"another value lies where {sha256} should")
    return reading
