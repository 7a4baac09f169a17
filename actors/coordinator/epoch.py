"""One claimant's epoch: its state records, their copies for people, and heartbeats, until a better claim is there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from math import inf

import msgspec

from drive_store import ExperimentStore, NameTaken, NotYet, StateEntry, StateLogWriter, StateRef
from drive_store.names import StateName, parse_state_name
from drive_store.statelog.coordinator import EPOCH_LEAP, write_coordinator_beat
from drive_store.statelog.log import claimant_rank, read_record
from swarm_ray.errors import Superseded, SwarmStateError
from swarm_ray.exchange.state_follower import decode_state
from swarm_ray.records.nodes import CoordinatorBeat
from swarm_ray.records.state import Moment, StateRecord

FORK_DEPTH = 100
"""Records behind the newest among which a rival's first record is looked for."""


class Epoch:
    """Writes the state log of one claimant in one epoch.

    Args:
        experiment: the experiment in the shared folder.
        claimant: the coordinator.
        epoch: its number.
        inherited: the records read before the epoch began, the one that is continued last; empty for an empty log.
        beat_s: seconds between two heartbeats.
    """

    def __init__(
        self,
        experiment: ExperimentStore,
        claimant: str,
        epoch: int,
        inherited: Sequence[StateRef],
        beat_s: float,
    ) -> None:
        self._experiment, self._beat_s = experiment, beat_s
        after = inherited[-1] if inherited else None
        self._log = StateLogWriter(experiment, epoch, claimant, resume_after=after)
        self._known = {(ref.epoch, ref.sequence, ref.claimant) for ref in inherited}
        self._oldest = min((ref.sequence for ref in inherited), default=0)
        self._beats, self._beaten = 0, -inf

    def write(self, record: StateRecord, about: Moment) -> None:
        """Write the next record, which is about a stage; a call that failed is repeated with the same record.

        Raises:
            StoreError: the folder is lost, full or not writable.
        """
        self._experiment.store.check()
        self._log.append(msgspec.json.encode(record), round=about.round, stage=about.stage)

    def beat(self, number: int, now: float) -> None:
        """Write a heartbeat if one is due."""
        if now - self._beaten < self._beat_s:
            return
        self._experiment.store.check()
        beat = msgspec.json.encode(CoordinatorBeat(self._beats, self._log.epoch, number))
        write_coordinator_beat(self._experiment, self._log.claimant, self._beats, beat)
        self._beats, self._beaten = self._beats + 1, now

    def rivals(self) -> list[StateRecord]:
        """Records of lower claims that were not seen before, in the order of their sequence.

        Raises:
            Superseded: a record of a better claim is there.
            StoreError: the folder cannot be read.
        """
        log, found, equal = self._log, [], False
        ours = -log.epoch, claimant_rank(log.claimant)
        for name in sorted(self._foreign_names(), key=lambda name: (name.epoch, name.sequence)):
            if (-name.epoch, claimant_rank(name.claimant)) < ours:
                raise Superseded(
                    f"{name.claimant} coordinates experiment {self._experiment.name!r} since epoch {name.epoch}; "
                    f"{self._log.claimant} (epoch {self._log.epoch}) stops writing and ends"
                )
            equal = equal or name.epoch == self._log.epoch
            entry = read_record(self._experiment, name)
            if not isinstance(entry, NotYet):
                self._known.add((name.epoch, name.sequence, name.claimant))
            if isinstance(entry, StateEntry):
                # One that this version cannot read accepts nothing that counts.
                with suppress(SwarmStateError):
                    found.append(decode_state(entry))
        if equal:  # continue in a new epoch: readers may have followed a rival to a sequence beyond ours
            self._log = StateLogWriter(self._experiment, log.epoch + 1, log.claimant, resume_after=log.last)
        return found

    def _foreign_names(self) -> list[StateName]:
        last = self._log.last.sequence if self._log.last else 0
        folders = {
            self._experiment.paths.state_bucket(max(0, n)) for n in (last - FORK_DEPTH, last, last + 1)
        }
        own = f".{self._log.claimant}."
        names = [
            name
            for folder in sorted(folders)
            for text in self._experiment.store.names(folder)
            if own not in text and (name := parse_state_name(text)) is not None
        ]
        return [
            name
            for name in names
            if name.sequence >= self._oldest
            and name.epoch <= self._log.epoch + EPOCH_LEAP  # claims beyond it are ignored; see `best_claim`
            and (name.epoch, name.sequence, name.claimant) not in self._known
        ]


def write_copies(experiment: ExperimentStore, record: StateRecord) -> None:
    """Write `current_state.json`, and the rewards and winners of the round that closed.

    Raises:
        StoreError: the folder is lost, full or not writable.
    """
    store, paths = experiment.store, experiment.paths
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
    store.replace_copy(paths.current_state, _readable(current))
    if closed is None or closed.stage > 0:  # a game's files have rewards and votes in its first stage
        return
    copies = {paths.rewards(closed.round): closed.rewards, paths.winners(closed.round): closed.winners}
    for key, value in copies.items():
        store.make_folder(key.rpartition("/")[0])
        try:
            store.create(key, _readable(value))
        except NameTaken:
            store.replace_copy(key, _readable(value))


def _readable(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
