"""A trainer's view of the state log: which stages closed, which is open, and whether a coordinator is alive."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from enum import Enum
from math import inf
from typing import TypeVar

import msgspec

from drive_store import (
    RETRYABLE,
    UNREADABLE,
    ExperimentStore,
    StateEntry,
    StateLogReader,
    StateRef,
    StoreError,
    newest,
    read_coordinator_beats,
)
from swarm_ray.config.schema import PaceConfig
from swarm_ray.errors import StopRequested, Superseded, SwarmStateError
from swarm_ray.exchange.backoff import Backoff
from swarm_ray.machine.cancellation import Cancellation
from swarm_ray.records.state import ENDED, ExperimentState, Moment, StageClosed, StageOpen, StateRecord

T = TypeVar("T")


class NoRound(Enum):
    """What a trainer finds instead of a round."""

    ENDED = "the experiment has ended, or is about to"
    ALONE = "no coordinator is alive, or the folder is out of reach"


def decode_state(entry: StateEntry) -> StateRecord:
    """The state record in an entry of the log.

    Raises:
        SwarmStateError: its payload cannot be decoded.
    """
    try:
        return msgspec.json.decode(entry.payload, type=StateRecord)
    except UNREADABLE as error:
        raise SwarmStateError(
            f"state record {entry.ref.sequence} of epoch {entry.ref.epoch} is not one this version reads: {error}"
        ) from error


class StateFollower:
    """Follows the state log of an experiment, through times in which the folder or the coordinator is away.

    Args:
        experiment: the experiment in the shared folder.
        pace: how often to look, and how long to wait for whom.
        cancellation: checked at every look; once cancelled, every wait ends with `StopRequested`.
        after: the last record that was processed in an earlier life; None begins with the newest one.
        whole: begin with the first record: a node whose checkpoint is lost may learn all of it again.
        rounds: those that the experiment is to have; one that ended with fewer is about to go on.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        experiment: ExperimentStore,
        pace: PaceConfig,
        cancellation: Cancellation,
        *,
        after: StateRef | None = None,
        whole: bool = False,
        rounds: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pace = pace
        self._experiment, self._cancellation = experiment, cancellation
        after = None if whole else after
        self._reader = StateLogReader(experiment, after=after) if after or whole else None
        self._coordinator = CoordinatorLiveness(experiment, pace, clock)
        self._backoff = Backoff(pace.poll_min_s, pace.poll_max_s, cancellation.pause)
        self._closed: dict[Moment, tuple[StageClosed, StateRef]] = {}
        self._base = after
        self.claimed: Mapping[str, frozenset[str]] = {}
        """Our incarnations, by node: a record that has others of these nodes ends this process."""
        self._rounds = rounds
        self._first_seen: StateRef | None = None
        self.listeners: list[Callable[[StateRecord], None]] = []
        """Called with every record, in order, as it is processed."""
        self.idle_work: list[Callable[[], None]] = []
        """Done between the looks of every wait."""
        self.latest: StateRecord | None = None
        self.ref: StateRef | None = after
        """The last record that was processed."""
        self.problem: StoreError | None = None
        """Why the folder is out of reach; None while it is not."""
        self.alone_left = pace.alone_rounds
        """Steps that may still be taken alone; set back by every new record."""

    @property
    def epoch(self) -> int:
        """The coordinator's term; 0 before the first record."""
        return self.ref.epoch if self.ref else 0

    @property
    def alone(self) -> bool:
        """Whether no coordinator is alive, as far as this machine can tell."""
        ended = self.latest is not None and self.latest.state in ENDED
        return not ended and self._coordinator.silence() >= self.pace.alone_after_s

    def forget_before(self, number: int) -> None:
        """Let go of rounds before `number`; those that are to be replayed have to stay."""
        for known in [moment for moment in self._closed if moment.round < number]:
            _, self._base = self._closed.pop(known)

    def ref_at(self, number: int) -> StateRef | None:
        """The record after which everything is to be read by a node whose last round was `number`.

        A node that takes steps again lies behind the newest record, and needs the closings since its own round once
        more if it dies meanwhile.
        """
        known = [moment for moment in self._closed if moment.round <= number]
        return self._closed[max(known)][1] if known else self._base

    def poll(self) -> bool:
        """Read what is new; True when there was something. A folder out of reach is a problem, not an error.

        Raises:
            Superseded: another process has taken the place of one of our nodes.
            SwarmStateError: a record cannot be read by this version.
        """
        try:
            entries = self._reader.poll() if self._reader is not None else []
            if self.latest is None and not entries:
                entries = self._first()
            self._coordinator.look(found=bool(entries))
        except RETRYABLE as error:
            self.problem = error
            return False
        self.problem = None
        for entry in entries:
            self._take(entry)
        self._first_seen = self._first_seen or self.ref
        return bool(entries)

    def closed(self, number: int, stage: int = 0) -> StageClosed | None:
        """The record that closed a stage of a round, where it is known."""
        found = self._closed.get(Moment(number, stage))
        return found[0] if found else None

    def closings(self) -> list[StageClosed]:
        """All closings that are known, oldest first."""
        return [self._closed[moment][0] for moment in sorted(self._closed)]

    def pause(self) -> None:
        """Wait until the next look at the folder.

        Raises:
            StopRequested: the worker was told to stop.
        """
        self._backoff.pause()

    def wait(self, look: Callable[[StateRecord | None], T | None]) -> T | NoRound:
        """Poll until `look` finds something in the latest record, or no coordinator is alive.

        Raises:
            StopRequested: the worker was told to stop.
        """
        while True:
            if self.poll():
                self._backoff.changed()
            found = look(self.latest)
            if found is not None:
                return found
            if self.alone and self.alone_left > 0:
                return NoRound.ALONE
            for work in self.idle_work:
                work()
            self._backoff.pause()

    def wait_open(self, nodes: set[str], after: int) -> StageOpen | NoRound:
        """Wait until a round after `after` opens with one of `nodes` in it.

        A swarm may wait for members as long as it likes, so nothing times out while a coordinator is alive.
        """

        def look(record: StateRecord | None) -> StageOpen | NoRound | None:
            if record is None:
                return None
            opens = record.opens
            if opens and opens.round > after and nodes & {m.node for m in opens.members}:
                return opens
            over = record.state in (*ENDED, ExperimentState.DRAINING) and not self._goes_on_soon(record)
            return NoRound.ENDED if over else None

        return self.wait(look)

    def wait_closed(self, number: int, stage: int = 0) -> StageClosed | None:
        """Wait for the record that closes a stage of round `number`; None when no coordinator is alive.

        A stage that the swarm has gone on without, and never will close, is closed with nothing accepted.

        Raises:
            StopRequested: the experiment was stopped, or the worker was told to.
        """

        def look(record: StateRecord | None) -> StageClosed | None:
            closed = self.closed(number, stage)
            if closed is not None or record is None:
                return closed
            if record.state in ENDED:
                raise StopRequested(f"the experiment is {record.state}: {record.note}")
            given_up = record.opens is not None and record.opens.moment > Moment(number, stage)
            return (
                StageClosed.empty(number, stage)
                if given_up or record.state == ExperimentState.DRAINING
                else None
            )

        found = self.wait(look)
        return None if isinstance(found, NoRound) else found

    def _first(self) -> list[StateEntry]:
        """The newest record: where a latecomer begins, and what is new to a process that was away for a moment."""
        found = newest(self._experiment)
        if found is None:
            return []
        if self._reader is None:
            self._reader = StateLogReader(self._experiment, after=found.ref)
        return [found]

    def _goes_on_soon(self, record: StateRecord) -> bool:
        """Whether an end that was there when we came is about to be taken back by a coordinator that starts, too."""
        whole = record.state == ExperimentState.FINISHED and record.rounds >= self._rounds
        there_when_we_came = record.state in ENDED and self.ref == self._first_seen
        return there_when_we_came and not whole and self._coordinator.silence() < self.pace.alone_after_s

    def _take(self, entry: StateEntry) -> None:
        record = decode_state(entry)
        self._base = self._base or entry.ref
        for member in record.opens.members if record.opens else ():
            ours = self.claimed.get(member.node)
            if ours is not None and member.incarnation not in ours:
                raise Superseded(
                    f"node {member.node} continues as incarnation {member.incarnation} elsewhere; this process was "
                    "considered dead and ends, so that the node is not trained twice"
                )
        self.latest, self.ref = record, entry.ref
        self.alone_left = self.pace.alone_rounds
        if record.closed is not None:
            self._closed[record.closed.moment] = record.closed, entry.ref
        for listener in self.listeners:
            listener(record)


class CoordinatorLiveness:
    """When the coordinator was last seen: by a record, or by its heartbeat between records.

    Args:
        experiment: the experiment in the shared folder.
        pace: how often a coordinator beats.
        clock: seconds, monotonic.
    """

    def __init__(self, experiment: ExperimentStore, pace: PaceConfig, clock: Callable[[], float]) -> None:
        self._experiment, self._clock = experiment, clock
        self._every = min(pace.beat_s, pace.alone_after_s / 4)
        self._heard = clock()
        self._looked = -inf
        self._beats: dict[str, int] = {}

    def silence(self) -> float:
        """Seconds since anything of a coordinator changed; a watch that has just begun has heard it now."""
        return self._clock() - self._heard

    def look(self, *, found: bool) -> None:
        """Take note of a look at the log, and look for beats where nothing new was found for a while.

        Raises:
            StoreError: the folder is not the one that was attached, or cannot be read.
        """
        now = self._clock()
        if found:
            self._heard = now
        if now - max(self._heard, self._looked) < self._every:
            return
        self._looked = now
        self._experiment.store.check()  # an unmounted Drive is an empty folder, in which nothing ever changes
        beats = {c: beat.header.sequence for c, beat in read_coordinator_beats(self._experiment).items()}
        if beats.items() - self._beats.items():
            self._heard = now
        self._beats |= beats
