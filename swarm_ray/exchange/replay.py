"""Steps that an earlier process of a node made: found on the own disk or in the folder, and taken up again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from drive_store import (
    RETRYABLE,
    UNREADABLE,
    ExperimentStore,
    Spool,
    find_round_files,
)
from swarm_ray.errors import MalformedFile, UnknownQuestionError
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.exchange.validation import decode_round_file, read_whole_file
from swarm_ray.policies.policy import Policy, SampledCompletion
from swarm_ray.records.rollouts import Rollout, RoundFile
from swarm_ray.records.state import FileRef, Moment
from swarm_ray.sapo.node import Node
from swarm_ray.sapo.pool import PeerFile, ScoredRollout, build_pool
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import Verifier


class KeptTokens(msgspec.Struct, frozen=True, array_like=True):
    """The tokens of one completion."""

    ids: tuple[int, ...]
    reencodes: bool


class KeptRollout(msgspec.Struct, frozen=True, array_like=True):
    """What the file does not say of one rollout."""

    sampled: tuple[KeptTokens, ...]
    failures: int


class Attachment(msgspec.Struct, frozen=True):
    """What stays on the machine's own disk beside a round file."""

    made: tuple[KeptRollout, ...]
    value: bytes = b""


_DECODER = msgspec.msgpack.Decoder(Attachment)


def decode_attachment(attachment: bytes) -> Attachment:
    """What is kept beside a node's round file.

    Raises:
        MalformedFile: it cannot be read.
    """
    try:
        return _DECODER.decode(attachment)
    except UNREADABLE as error:
        raise MalformedFile(f"the tokens beside an own round file cannot be read: {error}") from error


def decode_own(
    node: str, file: RoundFile, attachment: bytes, tasks: TaskSet, policy: Policy
) -> list[ScoredRollout]:
    """The rollouts of one of the node's own files, ready to be learned from.

    Args:
        node: its id.
        file: the round file.
        attachment: what is kept beside it; empty where only the folder has the file, and then the tokens are those
            of the texts.
        tasks: makes the questions again.
        policy: encodes the texts.

    Raises:
        MalformedFile: the two do not belong together, or are not what they should be.
        UnknownQuestionError: a question does not belong to this experiment.
    """
    kept = decode_attachment(attachment) if attachment else None
    if kept and kept.value:
        file = decode_round_file(kept.value)
    if file.receipt is not None:
        raise MalformedFile(f"the rollouts of {node} travelled directly, and no copy of them was kept")
    made = kept.made if kept else [_encoded(policy, r) for r in file.rollouts]
    if [len(m.sampled) for m in made] != [len(r.completions) for r in file.rollouts]:
        raise MalformedFile(f"the tokens kept for {node} belong to another round file")
    own = []
    for number, (rollout, part) in enumerate(zip(file.rollouts, made, strict=True)):
        sampled = tuple(
            SampledCompletion(c.text, s.ids, c.finished, s.reencodes)
            for c, s in zip(rollout.completions, part.sampled, strict=True)
        )
        own.append(
            ScoredRollout(
                node, number, tasks.verify(rollout.question), rollout.completions, sampled, part.failures
            )
        )
    return own


def _encoded(policy: Policy, rollout: Rollout) -> KeptRollout:
    """As it is kept, where nothing was: the tokens of its texts."""
    tokens = [
        KeptTokens(policy.encode(c.text, finished=c.finished), reencodes=True) for c in rollout.completions
    ]
    return KeptRollout(tuple(tokens), 0)


@dataclass(frozen=True)
class PublishedStep:
    """A step whose rollouts exist already."""

    round: int
    step: int
    file: RoundFile
    """Whole, or a receipt whose value is in the attachment."""
    attachment: bytes
    """Empty where the folder alone has the file."""


class StepReplay:
    """Finds what earlier processes of this trainer's nodes made, and has not been learned from since.

    Args:
        experiment: the experiment in the shared folder.
        state: follows the state log, from the oldest checkpoint on.
        spools: a spool on the machine's own disk for each node.
        tasks: makes questions again.
        verifier: scores what the folder gives back, which anybody could have written.
    """

    def __init__(
        self,
        experiment: ExperimentStore,
        state: StateFollower,
        spools: Mapping[str, Spool],
        tasks: TaskSet,
        verifier: Verifier,
    ) -> None:
        self._experiment, self._state, self._spools = experiment, state, spools
        self._tasks, self._verifier = tasks, verifier
        self._in_folder: dict[tuple[str, int], PublishedStep] = {}
        self.problems: list[str] = []

    def find(self, node: Node) -> PublishedStep | None:
        """The node's present step, where it was made before; the own disk goes before the folder."""
        entry = self._spools[node.id].entry(node.step)
        if entry is not None:
            return PublishedStep(entry.round, entry.step, decode_round_file(entry.payload), entry.attachment)
        if (node.id, node.step) not in self._in_folder:
            for closing in self._state.closings():
                for ref in closing.accepted:
                    if (ref.node, ref.step) == (node.id, node.step):
                        self._remember(node.id, closing.round, ref)
        return self._in_folder.get((node.id, node.step))

    def replayable(self, nodes: Sequence[Node]) -> tuple[PublishedStep, list[Node]] | None:
        """The oldest step that can be taken again, with all nodes that take it; None when no such step is left."""
        ready = [
            (made, node)
            for node in nodes
            if (made := self.find(node)) is not None
            and (made.file.alone or self._state.closed(made.round) is not None)
        ]
        if not ready:
            return None
        first, _ = min(ready, key=lambda pair: (pair[0].round, pair[0].file.alone, pair[0].step))
        return first, [n for m, n in ready if (m.round, m.file.alone) == (first.round, first.file.alone)]

    def look_in_open_round(self, node: Node, number: int, incarnations: Sequence[str]) -> None:
        """Look in the folder for what an earlier incarnation published for the open round."""
        for incarnation in incarnations:
            for key, _ in find_round_files(self._experiment, node.id, incarnation, number):
                self._remember(node.id, number, FileRef(node.id, incarnation, key, "", 0, -1))

    def highest(self, node: str) -> int:
        """The highest step that the folder's files or the spool show of a node; -1 without any."""
        held = [e.step for e in self._spools[node].entries()]
        listed = [step for name, step in self._in_folder if name == node]
        tally = self._state.latest.tallies.get(node) if self._state.latest else None
        told = [tally.step] if tally is not None and tally.round >= 0 else []
        return max([*held, *listed, *told], default=-1)

    def rollouts(self, node: Node) -> list[ScoredRollout] | None:
        """What was made for the node's present step, ready to be learned from; None when it is to be made now."""
        made = self.find(node)
        if made is None:
            return None
        try:
            own = decode_own(node.id, made.file, made.attachment, self._tasks, node.policy)
        except (MalformedFile, UnknownQuestionError) as error:
            self.problems.append(f"step {made.step} of {node.id} cannot be taken again: {error}")
            return None
        return own if made.attachment else self._scored_again(node, own, made)

    def _scored_again(
        self, node: Node, own: list[ScoredRollout], made: PublishedStep
    ) -> list[ScoredRollout] | None:
        """The rewards of our own verifier in place of those that the folder's file claims."""
        pool = build_pool([PeerFile(node.id, made.file.rollouts)], {}, self._tasks, self._verifier)
        if len(pool.rollouts) != len(own):
            return None
        return [
            replace(scored, sampled=o.sampled, failures=o.failures)
            for scored, o in zip(sorted(pool.rollouts, key=lambda r: r.number), own, strict=True)
        ]

    def _remember(self, node: str, number: int, ref: FileRef) -> None:
        """Remember a file in the folder; a receipt counts if its value lies in the folder too."""
        try:
            file = read_whole_file(self._experiment, ref, Moment(number))
        except RETRYABLE as error:
            file = str(error)
        if isinstance(file, RoundFile):
            self._in_folder[node, file.step] = PublishedStep(number, file.step, file, b"")
        elif isinstance(file, str):
            self.problems.append(f"{ref.key} cannot be taken up again: {file}")
