"""Members' files: found by listing, read once, and accepted, superseded, late or rejected."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import takewhile
from typing import NamedTuple, TypeVar

from actors.coordinator.closing import Counted, DueStage, Received, outcome
from drive_store import (
    ExperimentStore,
    NotYet,
    Valid,
    find_bucket_files,
    read_round_file,
)
from drive_store.names import RoundFileName, parse_round_file_name
from drive_store.paths import BUCKET
from swarm_ray.errors import MalformedFile
from swarm_ray.exchange.validation import MAX_ROUND_FILE, decode_round_file, refusal_reason
from swarm_ray.records.state import FileRef, Moment, Refusal, StateRecord

T = TypeVar("T", bound=Hashable)

REMEMBERED_ROUNDS = 2 * BUCKET
"""Rounds for which outcomes are remembered; earlier buckets are listed only if a node asks for an answer."""


class Recent(dict[T, int]):
    """What was noted, with the round in which it was, the oldest first; what lies far back is forgotten."""

    def add(self, item: T, number: int) -> None:
        """Note something in round `number`; rounds never go back."""
        self.pop(item, None)
        self[item] = number

    def forget_before(self, number: int) -> list[T]:
        """Forget what was noted before a round; answers it."""
        old = list(takewhile(lambda item: self[item] < number, self))
        for item in old:
            del self[item]
        return old


class Listing(NamedTuple):
    """One listing: the files of an incarnation in the bucket of a round."""

    node: str
    incarnation: str
    round: int
    asked: frozenset[int] = frozenset()
    """Rounds for which the node reports unanswered files."""


class _Stage(NamedTuple):
    """A stage in which a node published something."""

    node: str
    round: int
    stage: int


class _Update(NamedTuple):
    """What at most one file counts for."""

    node: str
    step: int
    stage: int


class Submissions:
    """Reads members' files; the only place that lists N folders.

    At most one file counts per node, step and stage, whichever of the node's incarnations published it.

    Args:
        experiment: the experiment in the shared folder.
        stages: of a round.
    """

    def __init__(self, experiment: ExperimentStore, stages: int = 1) -> None:
        self._experiment, self._stages = experiment, stages
        self._settled: Recent[str] = Recent()
        """Keys of files that need no second look."""
        self._answered: Recent[_Stage] = Recent()
        """Of which a file was answered."""
        self._contents: Recent[tuple[_Stage, str]] = Recent()
        """With the hash of each file: what makes two attempts the same."""
        self._counted: Recent[_Update] = Recent()
        self._elsewhere: Recent[_Update] = Recent()
        self._last_counted: dict[tuple[str, int], int] = {}
        """Node and stage to the last step that counted and was forgotten: steps only grow."""
        self._floor = self._now = 0

    def restore(self, records: Iterable[StateRecord], floor: int) -> None:
        """Take over what the newest records of the log say, so that nothing is accepted twice.

        Args:
            records: of the continued chain.
            floor: the first round of which `records` name every file; those before it are looked at only where their
                node says that they are unanswered.
        """
        self._floor = floor
        for record in records:
            self._now = max([self._now, *(stage.round for stage in (record.closed, record.opens) if stage)])
            accepted, others, refused = named_in(record)
            for ref in (*accepted, *others):
                self._settle(ref.key, ref.node)
            for refusal in refused:
                self._settle(refusal.key, refusal.node)
            for ref in accepted:
                self._counted.add(_update(ref), self._now)

    def acknowledge(self, record: StateRecord, received: Received) -> None:
        """Adopt what a record of a lower claim has accepted: such files are late here, not accepted again."""
        accepted, _, _ = named_in(record)
        for update in {_update(ref) for ref in accepted}:
            if not self._counts(update):
                self._elsewhere.add(update, self._now)
        for counted in [c for c in received.accepted if _update(c.ref) in {_update(ref) for ref in accepted}]:
            received.accepted.remove(counted)
            received.late.append(counted.ref)

    def is_answered(self, node: str, number: int) -> bool:
        """Whether files of all stages of the node's round were answered."""
        return all(_Stage(node, number, stage) in self._answered for stage in range(self._stages))

    def collect(self, looks: Iterable[Listing], turn: DueStage, received: Received) -> list[tuple[str, str]]:
        """Look for new files, one listing each; answers the node and key of those that were taken in.

        Args:
            looks: where.
            turn: whose files count now.
            received: where they go.
        """
        self._begin_round(turn.number)
        taken = []
        for look in looks:
            found = find_bucket_files(
                self._experiment, look.node, look.incarnation, look.round, settled=self._settled
            )
            for key, name in found:
                known = name.round >= self._floor or name.round in look.asked
                if (
                    known
                    and turn.is_due(look.node, Moment(name.round, name.stage))
                    and self._take(look, key, name, turn, received)
                ):
                    self._settled.add(key, self._now)
                    self._settle(key.replace(f" ({name.twin})", ""), look.node)
                    taken.append((look.node, key))
        return taken

    def _take(self, look: Listing, key: str, name: RoundFileName, turn: DueStage, received: Received) -> bool:
        """Read one file and put it where it belongs; False when it is not whole yet."""
        reading = read_round_file(
            self._experiment,
            key,
            node=look.node,
            incarnation=look.incarnation,
            sha256=None,
            max_payload=MAX_ROUND_FILE,
        )
        if isinstance(reading, NotYet):
            return False
        if not isinstance(reading, Valid):
            reason = refusal_reason(reading)
            self._reject(Refusal(look.node, key, reason), name, turn, received)
            return True
        try:
            file = decode_round_file(reading.payload)
        except MalformedFile as error:
            self._reject(Refusal(look.node, key, str(error)), name, turn, received)
            return True
        size = len(reading.payload)
        ref = FileRef(look.node, look.incarnation, key, reading.sha256, size, file.step)
        self._put(Counted(ref, file), name, turn, received)
        return True

    def _put(self, new: Counted, name: RoundFileName, turn: DueStage, received: Received) -> None:
        ref, update = new.ref, _Update(new.ref.node, new.ref.step, name.stage)
        content = _Stage(ref.node, name.round, name.stage), name.hash
        made_for = Moment(name.round, name.stage)
        second = turn.staleness is None and made_for == turn.moment and ref.node in received.nodes
        what = outcome(
            turn,
            made_for,
            repeated=self._counts(update) or content in self._contents,
            elsewhere=update in self._elsewhere,
            alone=new.file.alone,
        )
        if what == "accepted" and not second:
            self._counted.add(update, self._now)
            received.accepted.append(new)
            return
        (received.late if what == "late" else received.superseded).append(ref)
        if made_for == turn.moment and not new.file.alone:
            received.spent.add(ref.node)

    @staticmethod
    def _reject(refusal: Refusal, name: RoundFileName, turn: DueStage, received: Received) -> None:
        received.rejected.append(refusal)
        if Moment(name.round, name.stage) == turn.moment:
            received.spent.add(refusal.node)

    def _settle(self, key: str, node: str) -> None:
        self._settled.add(key, self._now)
        name = parse_round_file_name(key.rpartition("/")[2])
        if name is not None:
            stage = _Stage(node, name.round, name.stage)
            self._answered.add(stage, self._now)
            self._contents.add((stage, name.hash), self._now)

    def _counts(self, update: _Update) -> bool:
        """Whether a file of this node, step and stage counted before."""
        last = self._last_counted.get((update.node, update.stage), -1)
        return update.step <= last or update in self._counted

    def _begin_round(self, number: int) -> None:
        """Forget rounds far behind the open one; files found there again are ignored unless their node asks."""
        self._now = max(self._now, number)
        old = self._now - REMEMBERED_ROUNDS
        if old <= self._floor:
            return
        self._floor = old
        for noted in (self._settled, self._answered, self._contents, self._elsewhere):
            noted.forget_before(old)
        for update in self._counted.forget_before(old):
            place = update.node, update.stage
            self._last_counted[place] = max(update.step, self._last_counted.get(place, -1))


def named_in(record: StateRecord) -> tuple[tuple[FileRef, ...], tuple[FileRef, ...], tuple[Refusal, ...]]:
    """The files that a record accepts, those that it answers otherwise, and those that it refuses."""
    closed, answers = record.closed, record.answers
    accepted = closed.accepted if closed else ()
    others = (*closed.late, *closed.superseded) if closed else ()
    refused = closed.rejected if closed else ()
    if answers:
        others = (*others, *answers.late, *answers.superseded)
        refused = (*refused, *answers.rejected)
    return accepted, others, refused


def _update(ref: FileRef) -> _Update:
    name = parse_round_file_name(ref.key.rpartition("/")[2])
    return _Update(ref.node, ref.step, name.stage if name else 0)
