"""Gathers a stage: every node publishes a file, and reads those that a coordinator's record or a deadline allows.

What is gathered is bytes; `swarm_ray.genrl.wire` knows what they mean.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf

import msgspec

from drive_store import (
    RETRYABLE,
    ExperimentStore,
    NotYet,
    Publication,
    Spool,
    find_round_files,
    publish_round_file,
)
from swarm_ray.config.schema import PaceConfig
from swarm_ray.exchange.backoff import Backoff
from swarm_ray.exchange.direct import DirectValues
from swarm_ray.exchange.folder import Outbox, resolve_files
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.exchange.validation import read_accepted, read_peer_file
from swarm_ray.genrl.peers import Peer, Peers
from swarm_ray.machine.cancellation import Cancellation
from swarm_ray.records.rollouts import RoundFile
from swarm_ray.records.state import FileRef, Member, Moment, StageClosed
from swarm_ray.sapo.phases import PhaseClock


@dataclass
class Gathered:
    """What the nodes shared in one stage."""

    payloads: dict[str, bytes]
    """Node to the bytes it shared, our own among them."""
    missing: tuple[str, ...] = ()
    """Nodes that were waited for, and whose files did not come."""
    problems: list[str] = field(default_factory=list)
    """Files that were dropped, and why; and why our own did not get through."""


class DeadlineGathering:
    """Gathers without a coordinator: what has come when all live nodes have shared, or when `pace.max_s` has passed.

    A peer that is in a later round has left its file behind or never will; one that is further back than the round
    before will hardly come in time. Nobody waits for either. In the first stage of a process it is waited, within the
    same time, until `pace.expect` nodes have shown themselves; one beyond the game's end does not count.

    Args:
        experiment: the experiment in the shared folder, attached to the experiment.
        me: our node and its incarnation.
        pace: how long to wait for whom.
        cancellation: beaten at every look; when it stops, so does the wait.
        rounds: of the game.
    """

    def __init__(
        self,
        experiment: ExperimentStore,
        me: Member,
        pace: PaceConfig,
        cancellation: Cancellation,
        rounds: float = inf,
    ) -> None:
        self.experiment, self.me = experiment, me
        self.peers = Peers(experiment, me.node, pace)
        self._pace, self._cancellation, self._rounds = pace, cancellation, rounds
        self._met = False

    def exchange(self, moment: Moment, file: RoundFile, phases: PhaseClock) -> Gathered:
        """Share our file of a stage, and get what the others shared in it.

        Raises:
            StopRequested: the worker was told to stop.
            StoreError: the folder is there, and a file of ours cannot be written or a listing read.
        """
        with phases.phase("publish"):
            problem = self._publish(moment, file)
        return self.gather(moment, file, phases, problem)

    def gather(self, moment: Moment, file: RoundFile, phases: PhaseClock, unpublished: str = "") -> Gathered:
        """Get what the others shared in a stage of which our file is written already.

        Args:
            moment: the stage.
            file: ours.
            phases: counts the time.
            unpublished: why ours is not written yet; it is tried again then.

        Raises:
            StopRequested: the worker was told to stop.
            StoreError: as for `exchange`.
        """
        gathered = Gathered({self.me.node: file.game})
        with phases.phase("wait"):
            self._wait(moment, file, gathered, unpublished)
        self._met = True
        return gathered

    def _publish(self, moment: Moment, file: RoundFile) -> str:
        """Write our file; answers why it could not be, while the folder is out of reach. Harmless when repeated."""
        publication = Publication(
            node=self.me.node,
            incarnation=self.me.incarnation,
            round=moment.round,
            stage=moment.stage,
            payload=msgspec.msgpack.encode(file),
            sequence=file.step,
        )
        try:
            self.experiment.store.check()  # an unmounted Drive is an empty local folder
            publish_round_file(self.experiment, publication)
        except RETRYABLE as error:
            return str(error)
        return ""

    def _wait(self, moment: Moment, file: RoundFile, gathered: Gathered, problem: str) -> None:
        """Look until every live node has shared, or the time is over."""
        began, refused = time.monotonic(), dict[str, str]()
        backoff = Backoff(self._pace.poll_min_s, self._pace.poll_max_s, self._cancellation.pause)
        while True:
            problem = problem and self._publish(moment, file)
            try:
                if self._look(moment, gathered, refused):
                    backoff.changed()
                unread = ""
            except RETRYABLE as error:
                unread = str(error)
            waiting = self._awaited(moment, gathered.payloads.keys() | refused.keys())
            left = self._pace.max_s - (time.monotonic() - began)
            if left <= 0 or not (waiting or problem or unread):
                break
            backoff.pause(left)
        gathered.missing = tuple(waiting)
        gathered.problems += [f"{node}: {reason}" for node, reason in sorted(refused.items())]
        if problem or unread:
            gathered.problems.append(f"the folder is out of reach: {problem or unread}")

    def _look(self, moment: Moment, gathered: Gathered, refused: dict[str, str]) -> bool:
        """Read new files; True if there were any."""
        self.peers.look()
        settled = gathered.payloads.keys() | refused.keys()
        for node in self.peers.present().keys() - settled:
            # An incarnation that died before it came so far has shared nothing.
            lives = [p for p in self.peers.lives(node) if p.alive or p.round >= moment.round - 1]
            # All are read before one is noted: a folder that fails meanwhile leaves the node to the next look.
            for file in [file for life in lives for file in self._files(moment, life)]:
                if isinstance(file, RoundFile):
                    gathered.payloads[node] = file.game
                    self.peers.reached(node, moment.round - 1)
                    refused.pop(node, None)
                    break
                refused[node] = file
        return len(settled) < len(gathered.payloads | refused)

    def _files(self, moment: Moment, peer: Peer) -> Iterator[RoundFile | str]:
        """A peer's whole files of a stage, and why others are refused.

        Raises:
            StoreError: the folder cannot be read.
        """
        listed = find_round_files(self.experiment, peer.node, peer.incarnation, moment.round)
        for key in (key for key, name in listed if name.stage == moment.stage):
            found = read_peer_file(self.experiment, FileRef(peer.node, peer.incarnation, key, "", 0))
            if isinstance(found, RoundFile) and not found.game:
                yield "its payload went directly" if found.receipt else "the file shares nothing of a game"
            elif not isinstance(found, NotYet):
                yield found

    def _awaited(self, moment: Moment, settled: set[str]) -> list[str]:
        """Who may still come, in words for people."""
        playing = self.peers.playing()
        # A beat may be a round old, so that a peer is waited for that seems to be two rounds back.
        near = range(moment.round - 2, moment.round)
        named = [node for node, peer in playing.items() if node not in settled and peer.round in near]
        come = len(settled | {n for n, p in playing.items() if p.round < self._rounds} | {self.me.node})
        if self._met or come >= self._pace.expect:
            return named
        return [*named, f"{self._pace.expect - come} of {self._pace.expect} nodes that were expected"]


class CoordinatedGathering(Outbox):
    """Gathers what the record that closes the stage names; without a coordinator, by the deadline.

    Args:
        state: follows the state log.
        spool: keeps our files on the machine's own disk until they are answered.
        stages: of a round.
        direct: sees to payloads that are not in the files themselves.
        alone: gathers while no coordinator is heard of.
    """

    def __init__(
        self,
        state: StateFollower,
        spool: Spool,
        stages: int,
        direct: DirectValues,
        alone: DeadlineGathering,
    ) -> None:
        super().__init__(alone.experiment, state, {alone.me.node: spool}, direct, stages)
        self.experiment, self.me, self.peers = alone.experiment, alone.me, alone.peers
        self._alone = alone

    def exchange(self, moment: Moment, file: RoundFile, phases: PhaseClock) -> Gathered:
        """Share our file of a stage, and get what the others shared in it.

        Raises:
            StopRequested: the experiment ended, or the worker was told to stop.
            StoreFull: the own disk is full, so that nothing can be promised.
            NameTaken: another file is held for this stage of this step.
        """
        alone = self._state.alone
        if alone:
            file = msgspec.structs.replace(file, alone=True)
        with phases.phase("publish"):
            step = file.step * self._stages + moment.stage
            self.hold(self.me.node, moment, step, file)
            self.send(self.me.node, moment, step)
        with phases.phase("wait"):
            closed = None if alone else self._state.wait_closed(*moment)
        if closed is None:
            # The next coordinator lists what it finds; meanwhile those who are there share among themselves.
            self.retry()
            return self._alone.gather(moment, file, phases)
        with phases.phase("gather"):
            return self._read(closed, file)

    def _read(self, closed: StageClosed, own: RoundFile) -> Gathered:
        """Read what the record names.

        A payload that went directly and cannot be fetched is lost to this stage: its owner hears of it with our next
        file, and writes whole files for a while.
        """
        gathered = Gathered(
            {self.me.node: own.game},
            tuple(node for node in closed.missing if node != self.me.node),
            [f"{r.node}: {r.reason}" for r in closed.rejected],
        )
        refs = [ref for ref in closed.accepted if ref.node != self.me.node]
        found = read_accepted(self.experiment, self._state, refs)
        read = [(ref, file) for ref, file in found if isinstance(file, RoundFile)]
        resolved = {one.ref.node: one.file for one in resolve_files(self.direct, closed.round, read)}
        for ref, listed in found:
            file = resolved.get(ref.node, listed)
            if isinstance(file, RoundFile) and file.game:
                gathered.payloads[ref.node] = file.game
            else:
                reason = file if isinstance(file, str) else "what it shared is not a game's payload"
                gathered.problems.append(f"{ref.node}: {reason}")
        return gathered


Gathering = DeadlineGathering | CoordinatedGathering
