"""Gathers a stage: the files that a coordinator's record names, else all that come before a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from drive_store import RETRYABLE, Spool
from swarm_ray.config.schema import PaceConfig
from swarm_ray.exchange.backoff import Backoff
from swarm_ray.exchange.direct.exchange import DirectValues
from swarm_ray.exchange.folder import read_accepted
from swarm_ray.exchange.outbox import Outbox
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.genrl.peers import Peers
from swarm_ray.genrl.stage_files import Gathered, Phase, StageFiles, untimed
from swarm_ray.machine.cancellation import Cancellation
from swarm_ray.records.rollouts import RoundFile
from swarm_ray.records.state import Moment, StageClosed


class DeadlineGathering:
    """Gathers without a coordinator: what has come when all live nodes have shared, or when `pace.max_s` has passed.

    A peer that is in a later round has left its file behind or never will; one that is further back than the round
    before will hardly come in time. Nobody waits for either. In the first stage of a process it is waited, within the
    same time, until `pace.expect` nodes have shown themselves.

    Args:
        files: of the game's stages.
        peers: who else plays.
        pace: how long to wait for whom.
        cancellation: beaten at every look; when it stops, so does the wait.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        files: StageFiles,
        peers: Peers,
        pace: PaceConfig,
        cancellation: Cancellation,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.peers = peers
        self._files, self._pace, self._cancellation, self._clock = files, pace, cancellation, clock
        self._met = False

    def exchange(self, moment: Moment, file: RoundFile, phase: Phase = untimed) -> Gathered:
        """Share our file of a stage, and get what the others shared in it.

        Raises:
            StopRequested: the worker was told to stop.
            StoreError: the folder is there, and a file of ours cannot be written or a listing read.
        """
        with phase("publish"):
            problem = self._publish(moment, file)
        return self.gather(moment, file, phase, problem)

    def gather(
        self, moment: Moment, file: RoundFile, phase: Phase = untimed, unpublished: str = ""
    ) -> Gathered:
        """Get what the others shared in a stage of which our file is written already.

        Args:
            moment: the stage.
            file: ours.
            phase: counts the time.
            unpublished: why ours is not written yet; it is tried again then.

        Raises:
            StopRequested: the worker was told to stop.
            StoreError: as for `exchange`.
        """
        gathered = Gathered({self._files.me.node: file.game})
        with phase("wait"):
            self._wait(moment, file, gathered, unpublished)
        self._met = True
        gathered.payloads = dict(sorted(gathered.payloads.items()))
        return gathered

    def _publish(self, moment: Moment, file: RoundFile) -> str:
        """Write our file; answers why it could not be, while the folder is out of reach."""
        try:
            self._files.publish(moment, file)
        except RETRYABLE as error:
            return str(error)
        return ""

    def _wait(self, moment: Moment, file: RoundFile, gathered: Gathered, problem: str) -> None:
        """Look until every live node has shared, or the time is over."""
        began, refused = self._clock(), dict[str, str]()
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
            left = self._pace.max_s - (self._clock() - began)
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
        found_any = False
        for node in self.peers.present().keys() - gathered.payloads.keys() - refused.keys():
            for peer in self.peers.lives(node):
                if not (peer.alive or peer.round >= moment.round - 1):
                    continue  # it died before it came so far
                found = self._files.find(moment, peer)
                if found is None:
                    continue
                found_any = True
                if isinstance(found, RoundFile):
                    gathered.payloads[node] = found.game
                    self.peers.reached(node, moment.round - 1)
                    refused.pop(node, None)
                    break
                refused[node] = found
        return found_any

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


class CoordinatedGathering(Outbox):
    """Gathers what the record that closes the stage names; without a coordinator, by the deadline.

    Args:
        files: of the game's stages.
        state: follows the state log.
        spool: keeps our files on the machine's own disk until they are answered.
        stages: of a round.
        direct: sees to payloads that are not in the files themselves.
        alone: gathers while no coordinator is heard of.
    """

    def __init__(
        self,
        files: StageFiles,
        state: StateFollower,
        spool: Spool,
        stages: int,
        direct: DirectValues,
        alone: DeadlineGathering,
    ) -> None:
        super().__init__(state, {files.me.node: spool}, direct, stages)
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
            self.retry()
            return self._alone.gather(moment, file, phase)
        with phase("gather"):
            gathered = self._read(closed)
        gathered.payloads = dict(sorted({**gathered.payloads, own: file.game}.items()))
        gathered.missing = tuple(node for node in closed.missing if node != own)
        return gathered

    def _send(self, moment: Moment, file: RoundFile) -> None:
        """Keep our file on the own disk, then write it; if the folder is out of reach, `retry` will do it."""
        number = file.step * self._stages + moment.stage
        packed, _ = self.direct.pack(self._files.me.node, moment, file)
        self._spool.hold(
            round=moment.round,
            stage=moment.stage,
            step=number,
            epoch=self._state.epoch,
            payload=msgspec.msgpack.encode(packed),
        )
        try:
            self._files.check()
            self._spool.send(number)
        except RETRYABLE as error:
            self._state.problem = error

    def _read(self, closed: StageClosed) -> Gathered:
        """Read what the record names.

        A payload that went directly and cannot be fetched is lost to this stage: its owner hears of it with our next
        file, and writes whole files for a while.
        """
        refs = [ref for ref in closed.accepted if ref.node != self._files.me.node]
        gathered = Gathered(problems=[f"{r.node}: {r.reason}" for r in closed.rejected])
        found = read_accepted(self._files.experiment, self._state, refs)
        for ref, file in found:
            if isinstance(file, str):
                gathered.add(ref.node, file)
        read = [(ref, file) for ref, file in found if isinstance(file, RoundFile)]
        self.direct.answer_requests(closed.round, read)
        for resolved in self.direct.resolve(read):
            gathered.add(resolved.ref.node, resolved.file)
        return gathered
