"""The state log: numbered records, each naming the hash of the one before it.

A record is the commit point of an experiment. This module writes them; the reading side is in `statewalk`,
and can be had from here.
"""

from __future__ import annotations

from drive_store.envelope import Header, payload_sha256, seal_json
from drive_store.errors import NameTaken
from drive_store.experiment_store import ExperimentStore
from drive_store.names import require_claimant
from drive_store.statelog.record import KIND, MAX_STATE, StateEntry, StateRef, claimant_rank
from drive_store.statelog.walk import StateLogReader, history, newest

__all__ = [
    "MAX_STATE",
    "StateEntry",
    "StateLogReader",
    "StateLogWriter",
    "StateRef",
    "claimant_rank",
    "history",
    "newest",
]


class StateLogWriter:
    """Appends the records of one claimant in one epoch.

    Args:
        experiment: where the log is.
        epoch: the claimant's term. A restart takes a new one: a writer does not know what it wrote in a former life.
        claimant: an id, or an id and an incarnation joined by a dot.
        resume_after: the record to continue after; sequence and chain continue from it. None only for an empty log:
            readers of a log in progress would not find a second beginning.

    Raises:
        InvalidName: the claimant is no id.
    """

    def __init__(
        self,
        experiment: ExperimentStore,
        epoch: int,
        claimant: str,
        *,
        resume_after: StateRef | None = None,
    ) -> None:
        self._store = experiment.store
        self._paths = experiment.paths
        self.epoch = epoch
        self.claimant = require_claimant(claimant)
        self.last = resume_after
        self._bucket = ""

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
        header = Header(
            kind=KIND,
            experiment=self._paths.experiment,
            node=self.claimant,
            epoch=self.epoch,
            round=round,
            stage=stage,
            sequence=sequence,
            previous="" if self.last is None else self.last.sha256,
        )
        self._make_bucket(sequence)
        key = self._paths.state_record(self.epoch, sequence, self.claimant)
        self._create(key, seal_json(header, payload))
        self.last = StateRef(self.epoch, sequence, self.claimant, payload_sha256(payload))
        return self.last

    def _make_bucket(self, sequence: int) -> None:
        folder = self._paths.state_bucket(sequence)
        if folder != self._bucket:
            self._store.make_folder(folder)
            self._bucket = folder

    def _create(self, key: str, data: bytes) -> None:
        try:
            self._store.create(key, data)
        except NameTaken:
            if self._store.holds(key, data):
                return
            if not self._store.holds(key, data, beginning=True):
                raise
            # The beginning of these very bytes: our own write that failed. No reader can have taken it
            # for a record.
            self._store.remove(key)
            self._store.create(key, data)
