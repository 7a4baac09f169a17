"""Rollouts through the shared folder: one file per node and step, kept until the state log has answered it."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence

import msgspec

from drive_store import (
    RETRYABLE,
    ExperimentStore,
    NotYet,
    Spool,
    SpoolEntry,
)
from drive_store.names import parse_peer_folder
from swarm_ray.config.schema import PaceConfig
from swarm_ray.exchange.direct import DirectValues, Resolved
from swarm_ray.exchange.outbox import Outbox
from swarm_ray.exchange.replay import StepReplay, encode_kept, kept_value
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.exchange.validation import read_peer_file, refusal_reason
from swarm_ray.records.rollouts import RoundFile
from swarm_ray.records.state import FileRef, Moment, StageClosed
from swarm_ray.sapo.node import Node
from swarm_ray.sapo.pool import PeerFile, ScoredRollout


class FolderExchange(Outbox):
    """Publishes and gathers round files through a `Store`.

    Args:
        experiment: the experiment in the shared folder, attached to the experiment.
        state: follows the state log.
        pace: how long a file may take to become visible, and whether anybody waits.
        spools: a spool on the machine's own disk for each node.
        made: finds what earlier processes of the nodes made.
        direct: sees to rollouts that are not in the files themselves.
    """

    def __init__(
        self,
        experiment: ExperimentStore,
        state: StateFollower,
        pace: PaceConfig,
        spools: Mapping[str, Spool],
        made: StepReplay,
        direct: DirectValues,
    ) -> None:
        super().__init__(state, spools, direct)
        self._experiment, self._pace = experiment, pace
        self.made = made
        self._checked = -1

    def adopt(self, node: Node, number: int) -> list[ScoredRollout] | None:  # noqa: ARG002
        """What an earlier process of the node made for its present step."""
        return self.made.rollouts(node)

    def publish(self, node: Node, number: int, file: RoundFile, own: Sequence[ScoredRollout]) -> None:
        """Keep the node's file on the own disk, then write it to the folder; the state log will answer it.

        A folder out of reach is not an error: the file waits in the spool.

        Raises:
            StoreFull: the own disk is full, so that nothing can be promised.
        """
        spool = self._spools[node.id]
        if not self.made.published(node):
            packed, value = self.direct.pack(node.id, Moment(number), file)
            spool.hold(
                round=number,
                stage=0,
                step=node.step,
                epoch=self._state.epoch,
                payload=msgspec.msgpack.encode(packed),
                attachment=encode_kept(own, value),
            )
        elif (kept := spool.entry(node.step)) is not None and (value := kept_value(kept.attachment)):
            self.direct.restore_value(node.id, Moment(kept.round), value, self._lives(kept, node.incarnation))
        entry = spool.entry(node.step)
        if entry is None or entry.outcome or entry.size:
            return  # an earlier process wrote it; if it was lost, `retry` will find out
        try:
            if number != self._checked:
                self._experiment.store.check()
                self._checked = number
            spool.send(node.step)
        except RETRYABLE as error:
            self._state.problem = error

    def wait_closed(self, number: int) -> StageClosed | None:
        """What the nodes may learn from: barrier, once round `number` has closed; async, what the ledger has now.

        None when no coordinator is alive.
        """
        if self._pace.mode == "barrier":
            return self._state.wait_closed(number)
        self._state.poll()
        self.retry()
        if self._state.alone:
            return None
        known = [closing for closing in self._state.closings() if closing.round <= number]
        return newest_per_peer(known, number, self._pace.staleness, self._spools)

    def gather(self, closed: StageClosed, without: Sequence[str]) -> list[PeerFile]:
        """Read what the record names, each file once, and name what it refused.

        Rollouts of earlier rounds that could not be fetched then may be among those that are answered.
        """
        refs = [ref for ref in closed.accepted if ref.node not in without]
        found = read_accepted(self._experiment, self._state, refs)
        refused = [PeerFile(r.node, refused=r.reason) for r in closed.rejected if r.node not in without]
        refused += [PeerFile(ref.node, refused=file) for ref, file in found if isinstance(file, str)]
        read = [(ref, file) for ref, file in found if isinstance(file, RoundFile)]
        self.direct.answer_requests(closed.round, read)
        fetched, late_values = self.direct.resolve(read), self.direct.late_values()
        return [peer_file(one) for one in fetched] + refused + [peer_file(one) for one in late_values]

    def restore_values(self) -> None:
        """Store the values of files that earlier processes published: peers that repeat steps may ask for them."""
        for node, spool in self._spools.items():
            for kept in spool.entries():
                if kept.keys and (value := kept_value(kept.attachment)):
                    life = self.direct.lives[node]
                    self.direct.restore_value(node, Moment(kept.round), value, self._lives(kept, life))

    @staticmethod
    def _lives(kept: SpoolEntry, life: str) -> tuple[str, ...]:
        """Incarnations under whose names a file was written, or will be: ours comes last."""
        folders = [parse_peer_folder(part) for key in kept.keys for part in key.split("/")]
        before = (folder.incarnation for folder in folders if folder is not None)
        return tuple(dict.fromkeys((*before, life)))

    @property
    def bytes_waiting(self) -> int:
        """Of all files on the own disk that wait for an answer."""
        return sum(spool.bytes_waiting for spool in self._spools.values())


def read_accepted(
    experiment: ExperimentStore, state: StateFollower, refs: Sequence[FileRef]
) -> list[tuple[FileRef, RoundFile | str]]:
    """Files that a record names, each read once, or why one is refused.

    A file that is not visible here yet is looked for until `pace.settle_s` has passed.

    Raises:
        StopRequested: the worker was told to stop.
    """
    found: dict[str, RoundFile | str] = {}
    began = time.monotonic()
    while True:
        last = time.monotonic() - began >= state.pace.settle_s
        for ref in refs:
            if ref.key not in found and (file := _read(experiment, state, ref, last_look=last)) is not None:
                found[ref.key] = file
        if all(ref.key in found for ref in refs):
            return [(ref, found[ref.key]) for ref in refs]
        state.pause()


def _read(
    experiment: ExperimentStore, state: StateFollower, ref: FileRef, *, last_look: bool
) -> RoundFile | str | None:
    """The file, or why it is refused; None for one that may still become visible."""
    try:
        found = read_peer_file(experiment, ref)
    except RETRYABLE as error:
        state.problem = error
        return "the folder was out of reach" if last_look else None
    if isinstance(found, NotYet):
        return refusal_reason(found) if last_look else None
    return found


def peer_file(found: Resolved) -> PeerFile:
    """The rollouts of a file that was resolved, or why they are missing."""
    if isinstance(found.file, str):
        return PeerFile(found.ref.node, refused=found.file)
    return PeerFile(found.ref.node, found.file.rollouts)


def newest_per_peer(
    closings: Sequence[StageClosed], number: int, staleness: int, own: Collection[str]
) -> StageClosed:
    """What a node may learn from now: of each peer the newest file in the last `staleness` records.

    Args:
        closings: the records that are known, oldest first.
        number: the round that the node is in.
        staleness: S, the most records that a file may be old.
        own: nodes of this trainer, whose rollouts need not travel; they count as accepted.
    """
    newest: dict[str, FileRef] = {}
    for closing in closings[-staleness:]:
        for ref in closing.accepted:
            if ref.node not in newest or ref.step >= newest[ref.node].step:
                newest[ref.node] = ref
    here = [FileRef(node, "", "", "", 0) for node in own]
    peers = [newest[node] for node in sorted(newest) if node not in own]
    return msgspec.structs.replace(StageClosed.empty(number, 0), accepted=tuple(here + peers))
