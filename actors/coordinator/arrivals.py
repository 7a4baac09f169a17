"""What came in since the last state record, and what a file counts as: pure decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from swarm_ray.records.rollouts import RoundFile
from swarm_ray.records.state import Answers, FileRef, Member, Moment, Refusal


class Counted(NamedTuple):
    """An accepted file and what is in it."""

    ref: FileRef
    file: RoundFile


@dataclass
class Arrivals:
    """Files by what became of them."""

    accepted: list[Counted] = field(default_factory=list)
    late: list[FileRef] = field(default_factory=list)
    superseded: list[FileRef] = field(default_factory=list)
    rejected: list[Refusal] = field(default_factory=list)
    spent: set[str] = field(default_factory=set)
    """Nodes that cannot hand in another file of this round; one of an earlier round costs a node nothing."""

    @property
    def nodes(self) -> set[str]:
        """Nodes with an accepted file."""
        return {counted.ref.node for counted in self.accepted}

    def missing(self, members: Sequence[Member]) -> list[Member]:
        """Members of whose files of this round none was accepted or refused."""
        done = self.nodes | self.spent
        return [m for m in members if m.node not in done]

    def answers(self) -> Answers | None:
        """What a record without a stage says of these files; None when there are none."""
        if not (self.late or self.superseded or self.rejected):
            return None
        return Answers(tuple(self.late), tuple(self.superseded), tuple(self.rejected))


@dataclass(frozen=True)
class Turn:
    """Whose files count now."""

    number: int
    """The open round, or the next one while none is open."""
    stage: int = 0
    """The open stage, or the next one."""
    members: frozenset[str] = frozenset()
    """Nodes whose files of it are taken; nobody's while no stage is open."""
    staleness: int | None = None
    """In async pace, files of so many rounds before count too."""
    over: bool = False
    """No round will open again: whatever comes is late."""

    @property
    def moment(self) -> Moment:
        """The stage that is open, or the next one."""
        return Moment(self.number, self.stage)

    def is_due(self, node: str, made_for: Moment) -> bool:
        """Whether a file of a stage is to be looked at now; others wait for their stage."""
        return self.is_late(made_for) or (made_for <= self.moment and node in self.members)

    def is_late(self, made_for: Moment) -> bool:
        """Whether a file of a stage came too late to count."""
        return self.over or made_for < Moment(self.number - (self.staleness or 0), self.stage)


def outcome(turn: Turn, made_for: Moment, *, repeated: bool, elsewhere: bool, alone: bool) -> str:
    """What a whole file counts as: accepted, late or superseded.

    Args:
        turn: whose files count now.
        made_for: the file's round and stage.
        repeated: one of this node, step and stage counted before, or the same content was answered.
        elsewhere: a coordinator whose records are not obeyed has accepted a file of this node, step and stage.
        alone: it was made without a coordinator.
    """
    if repeated:
        return "superseded"
    return "late" if elsewhere or alone or turn.is_late(made_for) else "accepted"
