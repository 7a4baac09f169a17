"""Members' files: found by listing, read once, and accepted, superseded, late or rejected."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import takewhile
from typing import NamedTuple, TypeVar

from actors.coordinator.closing import Counted, DueStage, Received
from drive_store import (
    ExperimentStore,
    NotYet,
    Valid,
    find_bucket_files,
    read_round_file,
)
from drive_store.names import RoundFileName, parse_round_file_name
from drive_store.paths import BUCKET
from swarm_ray.exchange.validation import MAX_ROUND_FILE, decode_value, refusal_reason
from swarm_ray.records.state import Answers, FileRef, Moment, Refusal, StageClosed, StateRecord

T = TypeVar("T", bound=Hashable)
_Stage = tuple[str, Moment]
"""A node and a stage in which it published something."""
_Update = tuple[str, int, int]
"""What at most one file counts for: node, step and stage of a round."""

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
            for named in named_in(record):
                self._settle(named.key, named.node)
            for update in _accepted_in(record):
                self._counted.add(update, self._now)

    def acknowledge(self, record: StateRecord, received: Received) -> None:
        """Adopt what a record of a lower claim has accepted: such files are late here, not accepted again."""
        theirs = _accepted_in(record)
        for update in theirs:
            if not self._counts(update):
                self._elsewhere.add(update, self._now)
        received.late += [c.ref for c in received.accepted if _update(c.ref) in theirs]
        received.accepted = [c for c in received.accepted if _update(c.ref) not in theirs]

    def is_answered(self, node: str, number: int) -> bool:
        """Whether files of all stages of the node's round were answered."""
        return all((node, Moment(number, stage)) in self._answered for stage in range(self._stages))

    def collect(self, looks: Iterable[Listing], turn: DueStage, received: Received) -> set[str]:
        """Look for new files, one listing each; answers the nodes of which some were taken in.

        Args:
            looks: where.
            turn: whose files count now.
            received: where they go.
        """
        self._begin_round(turn.moment.round)
        taken = set()
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
                    taken.add(look.node)
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
        moment = Moment(name.round, name.stage)
        file = decode_value(reading.payload) if isinstance(reading, Valid) else refusal_reason(reading)
        if isinstance(file, str) or not isinstance(reading, Valid):
            received.rejected.append(Refusal(look.node, key, str(file)))
            counts = False
        else:
            ref = FileRef(look.node, look.incarnation, key, reading.sha256, len(reading.payload), file.step)
            counts = self._put(Counted(ref, file), moment, name.hash, turn, received)
        if not counts and moment == turn.moment:
            received.spent.add(look.node)
        return True

    def _put(self, new: Counted, moment: Moment, digits: str, turn: DueStage, received: Received) -> bool:
        """Put a whole file where it belongs; whether its node may still submit another."""
        node = new.ref.node
        update = node, new.ref.step, moment.stage
        if self._counts(update) or ((node, moment), digits) in self._contents:
            received.superseded.append(new.ref)
        elif update in self._elsewhere or new.file.alone or turn.is_late(moment):
            received.late.append(new.ref)
        elif turn.staleness is None and moment == turn.moment and node in received.nodes:
            received.superseded.append(new.ref)
        else:
            self._counted.add(update, self._now)
            received.accepted.append(new)
            return True
        return new.file.alone

    def _settle(self, key: str, node: str) -> None:
        self._settled.add(key, self._now)
        name = parse_round_file_name(key.rpartition("/")[2])
        if name is not None:
            stage = node, Moment(name.round, name.stage)
            self._answered.add(stage, self._now)
            self._contents.add((stage, name.hash), self._now)

    def _counts(self, update: _Update) -> bool:
        """Whether a file of this node, step and stage counted before."""
        node, step, stage = update
        return step <= self._last_counted.get((node, stage), -1) or update in self._counted

    def _begin_round(self, number: int) -> None:
        """Forget rounds far behind the open one; files found there again are ignored unless their node asks."""
        self._now = max(self._now, number)
        old = self._now - REMEMBERED_ROUNDS
        if old <= self._floor:
            return
        self._floor = old
        for noted in (self._settled, self._answered, self._contents, self._elsewhere):
            noted.forget_before(old)
        for node, step, stage in self._counted.forget_before(old):
            self._last_counted[node, stage] = max(step, self._last_counted.get((node, stage), -1))


def named_in(record: StateRecord) -> list[FileRef | Refusal]:
    """The files that a record accepts, answers otherwise or refuses."""
    named: list[FileRef | Refusal] = [*(record.closed.accepted if record.closed else ())]
    answers: list[StageClosed | Answers] = [a for a in (record.closed, record.answers) if a]
    for answer in answers:
        named += [*answer.late, *answer.superseded, *answer.rejected]
    return named


def _accepted_in(record: StateRecord) -> set[_Update]:
    return {_update(ref) for ref in record.closed.accepted} if record.closed else set()


def _update(ref: FileRef) -> _Update:
    name = parse_round_file_name(ref.key.rpartition("/")[2])
    return ref.node, ref.step, name.stage if name else 0
