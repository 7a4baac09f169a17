"""One record of the state log: its name, its content, and which of two records is to be obeyed."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from drive_store.envelope import Header
from drive_store.envelope_reading import Corrupt, Expected, NotYet, Reading, Rejected, Valid, read_envelope
from drive_store.experiment_store import ExperimentStore
from drive_store.names import StateName, parse_state_name, twin_name
from drive_store.store.store import Store

KIND = "state"
MAX_STATE = 16 << 20
"""The most bytes a state record's payload may have, unless a reader says otherwise."""
_EPOCH_ENDS, _SEQUENCE_ENDS = len("e000001"), len("e000001-s00000042")


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


def read_record(
    experiment: ExperimentStore, name: StateName, max_payload: int = MAX_STATE
) -> StateEntry | NotYet | Corrupt | Rejected:
    """Read one record by its name.

    Args:
        experiment: where the log is.
        name: the record's name, or a twin of it.
        max_payload: the most bytes its payload may have.

    Returns:
        The record; or why there is none. A record whose envelope contradicts its name is rejected.

    Raises:
        StoreError: the store itself cannot be read.
    """
    key = twin_name(experiment.paths.state_record(name.epoch, name.sequence, name.claimant), name.twin)
    reading: Reading = read_envelope(
        experiment.store,
        key,
        Expected(kind=KIND, experiment=experiment.name, node=name.claimant, max_payload=max_payload),
    )
    if not isinstance(reading, Valid):
        return reading
    header = reading.header
    if (header.epoch, header.sequence) != (name.epoch, name.sequence):
        return Rejected(f"epoch {header.epoch}, sequence {header.sequence} stand in the envelope of {key}")
    ref = StateRef(name.epoch, name.sequence, name.claimant, reading.sha256)
    return StateEntry(ref, header, reading.payload)


def list_bucket(store: Store, folder: str) -> list[StateName]:
    """List the names of state records in a bucket, in one listing; twins come after the names they double."""
    names = [name for text in store.names(folder) if (name := parse_state_name(text)) is not None]
    return sorted(names, key=lambda name: name.twin)


def preferred(texts: Sequence[str]) -> Iterator[StateName]:
    """The state records among the names of one bucket, those to be obeyed first; see `preference`.

    Whoever wants the newest alone has few names parsed: those of one claim differ in their sequences, which have as
    many digits each, and so stand in order as they are.

    Args:
        texts: the names, sorted.
    """
    if len({(text[:_EPOCH_ENDS], text[_SEQUENCE_ENDS:]) for text in texts}) == 1:
        return _parsed(reversed(texts))  # one claim, as nearly always
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
