"""The state log: numbered records, each naming the hash of the one before it; which of two counts; writing them.

A record is the commit point of an experiment.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import msgspec

from drive_store.envelope import Corrupt, Header, NotYet, Rejected, Valid, payload_sha256, seal_json
from drive_store.errors import NameTaken
from drive_store.experiment_store import ExperimentStore, write_in_folder
from drive_store.names import StateName, parse_state_name, require_claimant, twin_name
from drive_store.store.store import Store

KIND = "state"
MAX_STATE = 16 << 20
"""The most bytes a state record's payload may have."""


class StateRef(msgspec.Struct, frozen=True):
    """Names one state record, and its content by the sha256 of its payload."""

    epoch: int
    sequence: int
    claimant: str
    sha256: str

    @property
    def position(self) -> tuple[int, int]:
        """Epoch and sequence: what never decreases for a reader."""
        return self.epoch, self.sequence


class StateEntry(msgspec.Struct, frozen=True):
    """A state record that was read."""

    ref: StateRef
    header: Header
    payload: bytes


def claimant_rank(claimant: str) -> str:
    """Order claimants of one epoch: the smaller is obeyed. It is the sha256 of the claimant's id, in hex."""
    return hashlib.sha256(claimant.encode()).hexdigest()


def read_record(experiment: ExperimentStore, name: StateName) -> StateEntry | NotYet | Corrupt | Rejected:
    """Read one record by its name.

    Args:
        experiment: where the log is.
        name: the record's name, or a twin of it.

    Returns:
        The record, or why it cannot be read. A record whose envelope contradicts its name is rejected.

    Raises:
        StoreError: the store itself cannot be read.
    """
    key = twin_name(experiment.paths.state_record(name.epoch, name.sequence, name.claimant), name.twin)
    reading = experiment.read(key, KIND, name.claimant, max_payload=MAX_STATE)
    if not isinstance(reading, Valid):
        return reading
    header = reading.header
    if (header.epoch, header.sequence) != (name.epoch, name.sequence):
        return Rejected(f"epoch {header.epoch}, sequence {header.sequence} stand in the envelope of {key}")
    return StateEntry(
        StateRef(name.epoch, name.sequence, name.claimant, reading.sha256), header, reading.payload
    )


def list_bucket(store: Store, folder: str) -> list[StateName]:
    """List the names of state records in a bucket, in one listing; twins come after the names they double."""
    return sorted(_parsed(store.names(folder)), key=lambda name: name.twin)


def preferred(texts: Sequence[str]) -> Iterator[StateName]:
    """The state records among the names of one bucket, those to be obeyed first; see `preference`.

    Whoever wants the newest alone has few names parsed: those of one claim differ in their sequences, which have as
    many digits each, and so stand in order as they are.

    Args:
        texts: the names, sorted.
    """
    claims: dict[tuple[str, str], list[str]] = {}
    for text in texts:
        epoch, _, rest = text.partition("-")
        claims.setdefault((epoch, rest.partition(".")[2]), []).append(text)
    return heapq.merge(*[_parsed(reversed(claim)) for claim in claims.values()], key=preference)


def _parsed(texts: Iterable[str]) -> Iterator[StateName]:
    return (name for text in texts if (name := parse_state_name(text)) is not None)


def preference(name: StateName) -> tuple[int, str, int, int]:
    """Order records so that the smallest is to be obeyed: highest epoch, rank, newest, no twin."""
    return -name.epoch, claimant_rank(name.claimant), -name.sequence, name.twin


class StateLogWriter:
    """Appends the records of one claimant in one epoch.

    Args:
        experiment: where the log is.
        epoch: the claimant's term. A restart takes a new one: a writer does not know what it wrote in a former life.
        claimant: an id, or an id and an incarnation joined by a dot.
        resume_after: the record to continue after; sequence and chain continue from it. None only for an empty log:
            readers of a log in progress would not find a second beginning.

    Raises:
        InvalidName: the claimant is not a valid id.
    """

    def __init__(
        self,
        experiment: ExperimentStore,
        epoch: int,
        claimant: str,
        *,
        resume_after: StateRef | None = None,
    ) -> None:
        self._experiment = experiment
        self.epoch, self.claimant = epoch, require_claimant(claimant)
        self.last = resume_after

    def append(self, payload: bytes, *, round: int, stage: int) -> StateRef:  # noqa: A002
        """Write the next record.

        A call that failed may be repeated with the same arguments: what it left behind is completed, or
        found whole.

        Args:
            payload: one JSON value, without white space around it.
            round: the round that the record is about.
            stage: its stage.

        Returns:
            The record's name and hash.

        Raises:
            NameTaken: another content has this name; open a new epoch.
            StoreError: the record could not be written.
        """
        sequence = 0 if self.last is None else self.last.sequence + 1
        header = self._experiment.header(
            KIND,
            self.claimant,
            epoch=self.epoch,
            round=round,
            stage=stage,
            sequence=sequence,
            previous="" if self.last is None else self.last.sha256,
        )
        folder = self._experiment.paths.state_bucket(sequence)
        key = self._experiment.paths.state_record(self.epoch, sequence, self.claimant)
        write_in_folder(
            self._experiment.store, folder, partial(self._create, key, seal_json(header, payload))
        )
        self.last = StateRef(self.epoch, sequence, self.claimant, payload_sha256(payload))
        return self.last

    def _create(self, key: str, data: bytes) -> None:
        store = self._experiment.store
        try:
            store.create_once(key, data)
        except NameTaken:
            if not store.holds(key, data, beginning=True):
                raise
            # The beginning of these very bytes: our own write that failed. No reader can have taken it
            # for a record.
            store.remove(key)
            store.create(key, data)
