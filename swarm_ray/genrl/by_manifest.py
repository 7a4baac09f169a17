"""Gathering a stage that a coordinator closes: the state log names the files that count."""

from __future__ import annotations

import time

import msgspec

from drive_store import Spool
from swarm_ray.exchange.away import AWAY
from swarm_ray.exchange.direct.exchange import DirectValues
from swarm_ray.exchange.outbox import AnsweredSpools
from swarm_ray.exchange.state_follower import SwarmState
from swarm_ray.genrl.by_deadline import DeadlineGathering
from swarm_ray.genrl.gathering import GameFiles, Gathered, Phase, untimed
from swarm_ray.records.rollouts import RoundFile
from swarm_ray.records.state import FileRef, Moment, StageClosed


class ManifestGathering(AnsweredSpools):
    """Gathers what the record names that closes the stage; where nobody coordinates, by the deadline.

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
        files: GameFiles,
        state: SwarmState,
        spool: Spool,
        stages: int,
        direct: DirectValues,
        alone: DeadlineGathering,
    ) -> None:
        super().__init__(state, {files.me.node: spool}, stages)
        self.peers = alone.peers
        self.direct: DirectValues = direct
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
        """Keep our file on the own disk, then write it; a folder out of reach is no error: `retry` will do it."""
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
        except AWAY as error:
            self._state.problem = error

    def _read(self, closed: StageClosed) -> Gathered:
        """Read what the record names; what is not to be seen here yet is looked for until `pace.settle_s`.

        A payload that went directly and cannot be fetched is lost to this stage: its owner hears of it with our next
        file, and writes whole files for a while.
        """
        refs = [ref for ref in closed.accepted if ref.node != self._files.me.node]
        gathered = Gathered(problems=[f"{r.node}: {r.reason}" for r in closed.rejected])
        read: list[tuple[FileRef, RoundFile]] = []
        began = time.monotonic()
        while refs:
            last = time.monotonic() - began >= self._state.pace.settle_s
            unseen = []
            for ref in refs:
                found = self._find(ref)
                if isinstance(found, RoundFile):
                    read.append((ref, found))
                elif found is None and not last:
                    unseen.append(ref)
                else:
                    gathered.add(ref.node, found or f"{ref.key} is not to be seen here")
            if refs := unseen:
                self._state.pause()
        self.direct.heed(closed.round, read)
        for resolved in self.direct.resolve(read):
            gathered.add(resolved.ref.node, resolved.file)
        return gathered

    def _find(self, ref: FileRef) -> RoundFile | str | None:
        try:
            return self._files.read(ref.key, ref.node, ref.incarnation, ref.sha256)
        except AWAY as error:
            self._state.problem = error
            return None
