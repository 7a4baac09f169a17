"""Members' files: found by listing, read once, and accepted, superseded, late or rejected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from actors.coordinator.arrivals import Arrivals, Counted, Turn, outcome
from drive_store import (
    ExperimentStore,
    NotYet,
    Valid,
    find_bucket_files,
    read_round_file,
)
from drive_store.names import RoundFileName, parse_round_file_name
from swarm_ray.errors import MalformedFile
from swarm_ray.exchange.round_files import MAX_ROUND_FILE, decode_round_file
from swarm_ray.records.state import FileRef, Moment, Refusal, StateRecord


class Look(NamedTuple):
    """One listing: the files of an incarnation in the bucket of a round."""

    node: str
    incarnation: str
    round: int
    asked: frozenset[int] = frozenset()
    """Rounds of which the node says that its files are unanswered."""


class _Content(NamedTuple):
    """What makes two attempts the same file."""

    node: str
    round: int
    stage: int
    hash: str


class _Update(NamedTuple):
    """What at most one file counts for."""

    node: str
    step: int
    stage: int


class Intake:
    """Reads members' files; the only place that lists N folders.

    At most one file counts per node, step and stage, whichever of the node's incarnations published it.

    Args:
        experiment: the experiment in the shared folder.
        stages: of a round.
    """

    def __init__(self, experiment: ExperimentStore, stages: int = 1) -> None:
        self._experiment, self._stages = experiment, stages
        self._settled: set[str] = set()
        """Keys of files that need no second look."""
        self._contents: set[_Content] = set()
        self._answered: dict[tuple[str, int], set[int]] = {}
        """Node and round to the stages of which a file was answered."""
        self._counted: set[_Update] = set()
        self._elsewhere: set[_Update] = set()
        self._floor = 0

    def restore(self, records: Iterable[StateRecord], floor: int) -> None:
        """Take over what the newest records of the log say, so that nothing is accepted twice.

        Args:
            records: of the chain that is continued.
            floor: the first round of which `records` name every file; those before it are looked at only where their
                node says that they are unanswered.
        """
        self._floor = floor
        for record in records:
            accepted, others, refused = named_in(record)
            for ref in (*accepted, *others):
                self._settle(ref.key, ref.node)
            for refusal in refused:
                self._settle(refusal.key, refusal.node)
            self._counted.update(_update(ref) for ref in accepted)

    def acknowledge(self, record: StateRecord, arrivals: Arrivals) -> None:
        """Adopt what a record that is not obeyed has accepted: such files are late here, not accepted again."""
        accepted, _, _ = named_in(record)
        adopted = {_update(ref) for ref in accepted} - self._counted
        self._elsewhere |= adopted
        for counted in [c for c in arrivals.accepted if _update(c.ref) in {_update(ref) for ref in accepted}]:
            arrivals.accepted.remove(counted)
            arrivals.late.append(counted.ref)

    def is_answered(self, node: str, number: int) -> bool:
        """Whether files of all stages of the node's round were answered."""
        return len(self._answered.get((node, number), ())) >= self._stages

    def collect(self, looks: Iterable[Look], turn: Turn, arrivals: Arrivals) -> list[tuple[str, str]]:
        """Look for new files, one listing each; answers the node and key of those that were taken in.

        Args:
            looks: where.
            turn: whose files count now.
            arrivals: where they go.
        """
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
                    and self._take(look, key, name, turn, arrivals)
                ):
                    self._settled.add(key)
                    self._settle(key.replace(f" ({name.twin})", ""), look.node)
                    taken.append((look.node, key))
        return taken

    def _take(self, look: Look, key: str, name: RoundFileName, turn: Turn, arrivals: Arrivals) -> bool:
        """Read one file and put it where it belongs; False when it is not whole yet."""
        reading = read_round_file(
            self._experiment.store,
            key,
            experiment=self._experiment.name,
            node=look.node,
            incarnation=look.incarnation,
            sha256=None,
            max_payload=MAX_ROUND_FILE,
        )
        if isinstance(reading, NotYet):
            return False
        if not isinstance(reading, Valid):
            reason = f"{type(reading).__name__}: {reading.reason}"
            self._reject(Refusal(look.node, key, reason), name, turn, arrivals)
            return True
        try:
            file = decode_round_file(reading.payload)
        except MalformedFile as error:
            self._reject(Refusal(look.node, key, str(error)), name, turn, arrivals)
            return True
        size = len(reading.payload)
        ref = FileRef(look.node, look.incarnation, key, reading.sha256, size, file.step)
        self._put(Counted(ref, file), name, turn, arrivals)
        return True

    def _put(self, new: Counted, name: RoundFileName, turn: Turn, arrivals: Arrivals) -> None:
        ref, update = new.ref, _Update(new.ref.node, new.ref.step, name.stage)
        content = _Content(ref.node, name.round, name.stage, name.hash)
        made_for = Moment(name.round, name.stage)
        second = turn.staleness is None and made_for == turn.moment and ref.node in arrivals.nodes
        what = outcome(
            turn,
            made_for,
            repeated=update in self._counted or content in self._contents,
            elsewhere=update in self._elsewhere,
            alone=new.file.alone,
        )
        if what == "accepted" and not second:
            self._counted.add(update)
            arrivals.accepted.append(new)
            return
        (arrivals.late if what == "late" else arrivals.superseded).append(ref)
        if made_for == turn.moment and not new.file.alone:
            arrivals.spent.add(ref.node)

    @staticmethod
    def _reject(refusal: Refusal, name: RoundFileName, turn: Turn, arrivals: Arrivals) -> None:
        arrivals.rejected.append(refusal)
        if Moment(name.round, name.stage) == turn.moment:
            arrivals.spent.add(refusal.node)

    def _settle(self, key: str, node: str) -> None:
        self._settled.add(key)
        name = parse_round_file_name(key.rpartition("/")[2])
        if name is not None:
            self._contents.add(_Content(node, name.round, name.stage, name.hash))
            self._answered.setdefault((node, name.round), set()).add(name.stage)


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
