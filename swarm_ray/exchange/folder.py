"""Rollouts through the shared folder: one file per node and step, kept until the state log has answered it."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence

import msgspec

from drive_store import RETRYABLE, ExperimentStore, Spool, SpoolEntry
from drive_store.names import parse_peer_folder
from swarm_ray.config.schema import PaceConfig
from swarm_ray.exchange.direct import DirectValues, Resolved
from swarm_ray.exchange.replay import Attachment, KeptRollout, KeptTokens, StepReplay, decode_attachment
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.exchange.validation import read_accepted
from swarm_ray.records.rollouts import RoundFile
from swarm_ray.records.state import FileRef, Moment, StageClosed, StateRecord
from swarm_ray.sapo.node import Node
from swarm_ray.sapo.pool import PeerFile, ScoredRollout

RETRY_LOOK_S = 1.0
"""Files that have to be published again are looked for at most so often."""
SHOWN_UNANSWERED = 32


class Outbox:
    """The files that a worker's nodes publish: hears the state log's answers, and publishes again what was lost.

    Args:
        experiment: the experiment in the shared folder, attached to the experiment.
        state: follows the state log.
        spools: a spool on the machine's own disk for each node; none for nodes that no coordinator answers.
        direct: sees to what is not in the files themselves.
        stages: files of one step; a spool counts files, and not steps.
    """

    def __init__(
        self,
        experiment: ExperimentStore,
        state: StateFollower,
        spools: Mapping[str, Spool],
        direct: DirectValues,
        stages: int = 1,
    ) -> None:
        self._experiment, self._state, self._spools, self._stages = experiment, state, spools, stages
        self.direct = direct
        self._retried, self._checked = 0.0, Moment(-1)
        state.listeners.append(self._settle)
        state.idle_work.append(self.retry)

    def retry(self) -> None:
        """Publish again what is due, at most once a second; a folder out of reach is tried again later."""
        if time.monotonic() - self._retried < RETRY_LOOK_S:
            return
        self._retried = time.monotonic()
        try:
            for spool in self._spools.values():
                spool.retry_due()
        except RETRYABLE as error:
            self._state.problem = error

    def unanswered(self, node: str) -> tuple[int, ...]:
        """Rounds of the node's files that no state record has answered, the oldest first, the first few."""
        return tuple(dict.fromkeys(entry.round for entry in self._unanswered(node)))[:SHOWN_UNANSWERED]

    def keys_waiting(self, node: str) -> set[str]:
        """Names of the node's files that no state record has answered; they must not be removed."""
        return {key for entry in self._unanswered(node) for key in entry.keys}

    @property
    def problems(self) -> list[str]:
        """What was damaged in the spools, or could not be noted there."""
        return [problem for spool in self._spools.values() for problem in spool.problems]

    def release(self, node: str, step: int) -> None:
        """A checkpoint holds what the node learned before `step`: answered files of that time may go."""
        if node in self._spools:
            self._spools[node].release(step * self._stages - 1)

    def give_up(self) -> dict[str, list[int]]:
        """Mark what is still unanswered as expired; answers node to rounds."""
        return {
            node: rounds
            for node, spool in self._spools.items()
            if (rounds := sorted({entry.round for entry in spool.expire()}))
        }

    def hold(
        self,
        node: str,
        moment: Moment,
        number: int,
        file: RoundFile,
        own: Sequence[ScoredRollout] | None = None,
    ) -> None:
        """Keep a node's file on the own disk.

        Args:
            node: its id.
            moment: the stage that the file is for.
            number: of the file among the node's.
            file: what is published, here or directly.
            own: the node's rollouts, for a later process that takes the step again; None where it never does.

        Raises:
            StoreFull: the own disk is full, so that nothing can be promised.
            NameTaken: another file is held under the number.
        """
        value = b""
        if not file.alone and self.direct.reaches_peers(moment.round):
            file, value = self.direct.pack(node, moment, file)
        self._spools[node].hold(
            round=moment.round,
            stage=moment.stage,
            step=number,
            epoch=self._state.epoch,
            payload=msgspec.msgpack.encode(msgspec.structs.replace(file, wants=self.direct.wants)),
            attachment=b"" if own is None else _attachment(own, value),
        )

    def send(self, node: str, moment: Moment, number: int) -> None:
        """Write a file that is held to the folder; one out of reach is not an error, for `retry` will do it."""
        try:
            if moment != self._checked:
                self._experiment.store.check()
                self._checked = moment
            self._spools[node].send(number)
        except RETRYABLE as error:
            self._state.problem = error

    def _unanswered(self, node: str) -> list[SpoolEntry]:
        return self._spools[node].unanswered() if node in self._spools else []

    def _settle(self, record: StateRecord) -> None:
        """Let each spool know what became of its files; what was damaged on its way is published again."""
        for source in (record.closed, record.answers):
            if source is None:
                continue
            accepted = source.accepted if isinstance(source, StageClosed) else ()
            outcomes = {"accepted": accepted, "late": source.late, "superseded": source.superseded}
            for outcome, refs in outcomes.items():
                for ref in refs:
                    if ref.node in self._spools:
                        self._spools[ref.node].settle(ref.sha256, outcome, ref.key)
            for refusal in source.rejected:
                spool = self._spools.get(refusal.node)
                if spool is not None and refusal.damaged:
                    spool.damaged(refusal.key)
                elif spool is not None:
                    spool.settle_key(refusal.key, "rejected")


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
        super().__init__(experiment, state, spools, direct)
        self._pace, self.made = pace, made

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
        if self.made.find(node) is None:
            self.hold(node.id, Moment(number), node.step, file, own)
        elif (kept := spool.entry(node.step)) is not None:
            self._restore(node.id, kept)
        entry = spool.entry(node.step)
        # One with a size was written by an earlier process; if it was lost, `retry` will find out.
        if entry is not None and not entry.outcome and not entry.size:
            self.send(node.id, Moment(number), node.step)

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
        fetched, late_values = resolve_files(self.direct, closed.round, read), self.direct.late_values()
        return [peer_file(one) for one in fetched] + refused + [peer_file(one) for one in late_values]

    def restore_values(self) -> None:
        """Store the values of files that earlier processes published: peers that repeat steps may ask for them."""
        for node, spool in self._spools.items():
            for kept in spool.entries():
                if kept.keys:
                    self._restore(node, kept)

    def _restore(self, node: str, kept: SpoolEntry) -> None:
        """Store the value of a kept file, if it has one, for all incarnations that wrote it or will: ours is last."""
        if kept.attachment and (value := decode_attachment(kept.attachment).value):
            folders = [parse_peer_folder(part) for key in kept.keys for part in key.split("/")]
            before = [folder.incarnation for folder in folders if folder is not None]
            lives = dict.fromkeys((*before, self.direct.lives[node]))
            self.direct.restore_value(node, Moment(kept.round), value, tuple(lives))

    @property
    def bytes_waiting(self) -> int:
        """Of all files on the own disk that wait for an answer."""
        return sum(spool.bytes_waiting for spool in self._spools.values())


def resolve_files(
    direct: DirectValues, number: int, files: Sequence[tuple[FileRef, RoundFile]]
) -> list[Resolved]:
    """Files of a round that were read from the folder, whole, with what their receipts stand for.

    What others ask for in them is answered.
    """
    direct.answer_requests(number, [(ref.node, file.wants) for ref, file in files])
    whole = [Resolved(ref, file) for ref, file in files if file.receipt is None]
    receipts = [(ref, file.receipt) for ref, file in files if file.receipt is not None]
    return whole + direct.resolve([one.ref.node for one in whole], receipts)


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
    accepted = [ref for closing in closings[-staleness:] for ref in closing.accepted]
    newest = {ref.node: ref for ref in sorted(accepted, key=lambda ref: ref.step)}
    here = [FileRef(node, "", "", "", 0) for node in own]
    peers = [newest[node] for node in sorted(newest) if node not in own]
    return msgspec.structs.replace(StageClosed.empty(number, 0), accepted=tuple(here + peers))


def _attachment(own: Sequence[ScoredRollout], value: bytes) -> bytes:
    """What is kept beside a node's round file: the tokens of its rollouts and, beside a receipt, the value."""
    made = [KeptRollout(tuple(KeptTokens(g.ids, g.reencodes) for g in o.sampled), o.failures) for o in own]
    return msgspec.msgpack.encode(Attachment(tuple(made), value))
