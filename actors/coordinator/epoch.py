"""One claimant's epoch: its state log, heartbeats and rivals, until a better claim is there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from math import inf

import msgspec

from drive_store import ExperimentStore, NotYet, StateEntry, StateLogWriter, StateRef
from drive_store.names import StateName, parse_state_name
from drive_store.statelog.coordinator import EPOCH_LEAP, write_coordinator_beat
from drive_store.statelog.log import claimant_rank, read_record
from swarm_ray.errors import Superseded, SwarmStateError
from swarm_ray.exchange.state_follower import decode_state
from swarm_ray.records.nodes import CoordinatorBeat
from swarm_ray.records.state import StateRecord

FORK_DEPTH = 100
"""Records behind the newest among which a rival's first record is looked for."""


class Epoch:
    """The state log of one claimant in one epoch, and who else writes one.

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
        self.log = StateLogWriter(experiment, epoch, claimant, resume_after=after)
        """The records are appended to it; another log takes its place when a rival has the same epoch."""
        self._known = {(ref.epoch, ref.sequence, ref.claimant) for ref in inherited}
        self._oldest = min((ref.sequence for ref in inherited), default=0)
        self._beats, self._beaten = 0, -inf

    def beat(self, number: int, now: float) -> None:
        """Write a heartbeat if one is due."""
        if now - self._beaten < self._beat_s:
            return
        self._experiment.store.check()
        beat = msgspec.json.encode(CoordinatorBeat(self._beats, self.log.epoch, number))
        write_coordinator_beat(self._experiment, self.log.claimant, self._beats, beat)
        self._beats, self._beaten = self._beats + 1, now

    def rivals(self) -> list[StateRecord]:
        """Records of lower claims that were not seen before, in the order of their sequence.

        Raises:
            Superseded: a record of a better claim is there.
            StoreError: the folder cannot be read.
        """
        log, found, equal = self.log, [], False
        ours = -log.epoch, claimant_rank(log.claimant)
        for name in sorted(self._foreign_names(), key=lambda name: (name.epoch, name.sequence)):
            if (-name.epoch, claimant_rank(name.claimant)) < ours:
                raise Superseded(
                    f"{name.claimant} coordinates experiment {self._experiment.name!r} since epoch {name.epoch}; "
                    f"{self.log.claimant} (epoch {self.log.epoch}) stops writing and ends"
                )
            equal = equal or name.epoch == self.log.epoch
            entry = read_record(self._experiment, name)
            if not isinstance(entry, NotYet):
                self._known.add((name.epoch, name.sequence, name.claimant))
            if isinstance(entry, StateEntry):
                # One that this version cannot read accepts nothing that counts.
                with suppress(SwarmStateError):
                    found.append(decode_state(entry))
        if equal:  # continue in a new epoch: readers may have followed a rival to a sequence beyond ours
            self.log = StateLogWriter(self._experiment, log.epoch + 1, log.claimant, resume_after=log.last)
        return found

    def _foreign_names(self) -> list[StateName]:
        last = self.log.last.sequence if self.log.last else 0
        folders = {
            self._experiment.paths.state_bucket(max(0, n)) for n in (last - FORK_DEPTH, last, last + 1)
        }
        own = f".{self.log.claimant}."
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
            and name.epoch <= self.log.epoch + EPOCH_LEAP  # claims beyond it are ignored; see `best_claim`
            and (name.epoch, name.sequence, name.claimant) not in self._known
        ]
