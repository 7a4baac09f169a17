"""How a stage of a game travels: every node publishes one file, and reads those of the others.

Which files count is said by the state log where a coordinator writes one (`ManifestGathering`), and by a deadline where
nobody does (`DeadlineGathering`). What is gathered is bytes; `swarm_ray.genrl.wire` knows what they mean.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from drive_store import (
    ExperimentPaths,
    NotYet,
    Spool,
    Store,
    Valid,
    find_round_files,
    publish_round_file,
    read_round_file,
)
from swarm_ray.config import PaceConfig
from swarm_ray.errors import MalformedFile
from swarm_ray.exchange.away import AWAY
from swarm_ray.exchange.pacing import Pacing
from swarm_ray.exchange.round_files import MAX_ROUND_FILE, decode_round_file
from swarm_ray.exchange.spools import AnsweredSpools
from swarm_ray.exchange.swarm_state import SwarmState
from swarm_ray.genrl.peers import Peer, Peers
from swarm_ray.moments import Moment
from swarm_ray.pulse import Pulse
from swarm_ray.records import FileRef, Member, RoundFile, StageClosed

Phase = Callable[[str], AbstractContextManager[None]]
"""Counts the time of a block as a phase, as `swarm_ray.sapo.phases` names them."""


def untimed(_name: str) -> AbstractContextManager[None]:
    """A phase that nobody counts."""
    return nullcontext()


@dataclass
class Gathered:
    """What the nodes shared in one stage."""

    payloads: dict[str, bytes] = field(default_factory=dict)
    """Node to the bytes it shared, our own among them; by node id, not by arrival."""
    missing: tuple[str, ...] = ()
    """Nodes that were waited for, and whose files did not come."""
    problems: list[str] = field(default_factory=list)
    """Files that were dropped, and why; and why our own did not get through."""

    def add(self, node: str, file: RoundFile | str) -> None:
        """Take a peer's file, or the reason for which there is none."""
        if isinstance(file, RoundFile):
            self.payloads[node] = file.game
        else:
            self.problems.append(f"{node}: {file}")


class Gathering(Protocol):
    """Publishes a stage's file and gathers the others'."""

    @property
    def peers(self) -> Peers:
        """Who else plays."""
        ...

    def exchange(self, moment: Moment, file: RoundFile, phase: Phase) -> Gathered:
        """Share our file of a stage, and get what the others shared in it; `phase` counts the time."""
        ...


class GameFiles:
    """The files of a game's stages in the folder.

    Args:
        store: the shared folder, attached to the experiment.
        paths: the experiment's paths.
        me: our node and its incarnation.
    """

    def __init__(self, store: Store, paths: ExperimentPaths, me: Member) -> None:
        self._store, self._paths, self.me = store, paths, me

    def check(self) -> None:
        """Make sure that the folder is the one that was attached: an unmounted Drive is an empty local folder.

        Raises:
            StoreError: it is not, or cannot be read.
        """
        self._store.check()

    def publish(self, moment: Moment, file: RoundFile) -> None:
        """Write our own.

        Raises:
            StoreError: it could not be written; a second call with the same arguments is harmless.
        """
        self.check()
        publish_round_file(
            self._store,
            self._paths,
            node=self.me.node,
            incarnation=self.me.incarnation,
            round=moment.round,
            stage=moment.stage,
            payload=msgspec.msgpack.encode(file),
            sequence=file.step,
        )

    def any_of(self, number: int, incarnation: str) -> bool:
        """Whether an incarnation of our own node has published anything for a round; False while nobody can tell."""
        try:
            found = find_round_files(self._store, self._paths, self.me.node, incarnation, number)
        except AWAY:
            return False
        return bool(found)

    def find(self, moment: Moment, peer: Peer) -> RoundFile | str | None:
        """A peer's file of a stage, or why it is refused; None where there is none yet.

        Raises:
            StoreError: the folder cannot be read.
        """
        listed = find_round_files(self._store, self._paths, peer.node, peer.incarnation, moment.round)
        reason: str | None = None
        for key, name in listed:
            if name.stage == moment.stage:
                found = self.read(key, peer.node, peer.incarnation)
                if isinstance(found, RoundFile):
                    return found
                reason = found or reason
        return reason

    def read(
        self, key: str, node: str, incarnation: str, sha256: str | None = None
    ) -> RoundFile | str | None:
        """A file by its name, or why it is refused; None for one that may still become visible.

        Raises:
            StoreError: the folder cannot be read.
        """
        reading = read_round_file(
            self._store,
            key,
            experiment=self._paths.experiment,
            node=node,
            incarnation=incarnation,
            sha256=sha256,
            max_payload=MAX_ROUND_FILE,
        )
        if isinstance(reading, NotYet):
            return None
        if not isinstance(reading, Valid):
            return f"{type(reading).__name__}: {reading.reason}"
        try:
            file = decode_round_file(reading.payload)
        except MalformedFile as error:
            return f"malformed: {error}"
        return file if file.game else "malformed: the file shares nothing of a game"


class DeadlineGathering:
    """Gathers without a coordinator: what is there when all who live are in, or when `pace.max_s` has passed.

    A peer that is in a later round has left its file behind or never will; one that is further back than the round
    before will hardly come in time. Nobody waits for either. In the first stage of a process it is waited, within the
    same time, until `pace.expect` nodes have shown themselves.

    Args:
        files: of the game's stages.
        peers: who else plays.
        pace: how long to wait for whom.
        pulse: beaten at every look; when it stops, so does the wait.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        files: GameFiles,
        peers: Peers,
        pace: PaceConfig,
        pulse: Pulse,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.peers = peers
        self._files, self._pace, self._pulse, self._clock = files, pace, pulse, clock
        self._met = False

    def exchange(self, moment: Moment, file: RoundFile, phase: Phase = untimed) -> Gathered:
        """Share our file of a stage, and get what the others shared in it.

        Raises:
            StopRequested: the worker was told to stop.
            StoreError: the folder is there, and a file of ours cannot be written or a listing read.
        """
        gathered = Gathered({self._files.me.node: file.game})
        with phase("publish"):
            problem = self._publish(moment, file)
        with phase("wait"):
            self._wait(moment, file, gathered, problem)
        self._met = True
        gathered.payloads = dict(sorted(gathered.payloads.items()))
        return gathered

    def _publish(self, moment: Moment, file: RoundFile) -> str:
        """Write our file; answers why it could not be, while the folder is out of reach."""
        try:
            self._files.publish(moment, file)
        except AWAY as error:
            return str(error)
        return ""

    def _wait(self, moment: Moment, file: RoundFile, gathered: Gathered, problem: str) -> None:
        """Look until nobody is waited for any more, or the time is over."""
        began, refused = self._clock(), dict[str, str]()
        pacing = Pacing(self._pace.poll_min_s, self._pace.poll_max_s, self._pulse.pause)
        while True:
            problem = problem and self._publish(moment, file)
            try:
                if self._look(moment, gathered, refused):
                    pacing.changed()
                unread = ""
            except AWAY as error:
                unread = str(error)
            waiting = self._awaited(moment, gathered.payloads.keys() | refused.keys())
            left = self._pace.max_s - (self._clock() - began)
            if left <= 0 or not (waiting or problem or unread):
                break
            pacing.pause(left)
        gathered.missing = tuple(waiting)
        gathered.problems += [f"{node}: {reason}" for node, reason in sorted(refused.items())]
        if problem or unread:
            gathered.problems.append(f"the folder is out of reach: {problem or unread}")

    def _look(self, moment: Moment, gathered: Gathered, refused: dict[str, str]) -> bool:
        """Read what is new; whether there was something."""
        self.peers.look()
        news = False
        for node in self.peers.present().keys() - gathered.payloads.keys() - refused.keys():
            for peer in self.peers.lives(node):
                if not (peer.alive or peer.round >= moment.round - 1):
                    continue  # it died before it came so far
                found = self._files.find(moment, peer)
                if found is None:
                    continue
                news = True
                if isinstance(found, RoundFile):
                    gathered.payloads[node] = found.game
                    self.peers.reached(node, moment.round - 1)
                    refused.pop(node, None)
                    break
                refused[node] = found
        return news

    def _awaited(self, moment: Moment, settled: set[str]) -> list[str]:
        """Who may still come, in words for people."""
        playing = self.peers.playing()
        # A beat may be a round old, so that a peer is waited for that seems to be two rounds back.
        named = [
            node
            for node, peer in playing.items()
            if node not in settled and moment.round - 2 <= peer.round < moment.round
        ]
        come = len(settled | playing.keys() | {self._files.me.node})
        if self._met or come >= self._pace.expect:
            return named
        return [*named, f"{self._pace.expect - come} of {self._pace.expect} nodes that were expected"]


class ManifestGathering(AnsweredSpools):
    """Gathers what the record names that closes the stage; where nobody coordinates, by the deadline.

    Args:
        files: of the game's stages.
        state: follows the state log.
        spool: keeps our files on the machine's own disk until they are answered.
        stages: of a round.
        alone: gathers while no coordinator is heard of.
    """

    def __init__(
        self, files: GameFiles, state: SwarmState, spool: Spool, stages: int, alone: DeadlineGathering
    ) -> None:
        super().__init__(state, {files.me.node: spool}, stages)
        self.peers = alone.peers
        self._files, self._alone = files, alone
        self._spool = spool

    def exchange(self, moment: Moment, file: RoundFile, phase: Phase = untimed) -> Gathered:
        """Share our file of a stage, and get what the others shared in it.

        Raises:
            StopRequested: the experiment ended, or the worker was told to stop.
            StoreFull: the own disk is full, so that nothing can be promised.
            NameTaken: another file is held for this stage of this step.
        """
        own, alone = self._files.me.node, self._state.alone
        if alone:
            file = msgspec.structs.replace(file, alone=True)
        with phase("publish"):
            self._send(moment, file)
        with phase("wait"):
            closed = None if alone else self._state.wait_closed(*moment)
        if closed is None:
            # The next coordinator lists what it finds; meanwhile those who are there share among themselves.
            return self._alone.exchange(moment, file, phase)
        with phase("gather"):
            gathered = self._read(closed)
        gathered.payloads = dict(sorted({**gathered.payloads, own: file.game}.items()))
        gathered.missing = tuple(node for node in closed.missing if node != own)
        return gathered

    def _send(self, moment: Moment, file: RoundFile) -> None:
        """Keep our file on the own disk, then write it; a folder out of reach is no error: `retry` will do it."""
        number = file.step * self._stages + moment.stage
        self._spool.hold(
            round=moment.round,
            stage=moment.stage,
            step=number,
            epoch=self._state.epoch,
            payload=msgspec.msgpack.encode(file),
        )
        try:
            self._files.check()
            self._spool.send(number)
        except AWAY as error:
            self._state.problem = error

    def _read(self, closed: StageClosed) -> Gathered:
        """Read what the record names; what is not to be seen here yet is looked for until `pace.settle_s`."""
        refs = [ref for ref in closed.accepted if ref.node != self._files.me.node]
        gathered = Gathered(problems=[f"{r.node}: {r.reason}" for r in closed.rejected])
        began = time.monotonic()
        while refs:
            last = time.monotonic() - began >= self._state.pace.settle_s
            unseen = []
            for ref in refs:
                found = self._find(ref)
                if found is None and not last:
                    unseen.append(ref)
                else:
                    gathered.add(ref.node, found or f"{ref.key} is not to be seen here")
            if refs := unseen:
                self._state.pause()
        return gathered

    def _find(self, ref: FileRef) -> RoundFile | str | None:
        try:
            return self._files.read(ref.key, ref.node, ref.incarnation, ref.sha256)
        except AWAY as error:
            self._state.problem = error
            return None
