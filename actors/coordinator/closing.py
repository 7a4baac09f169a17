"""Closing a stage and choosing what follows: pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from drive_store import ExperimentStore, NameTaken, Store
from swarm_ray.config.schema import PaceConfig
from swarm_ray.records.nodes import StoreUse
from swarm_ray.records.rollouts import RoundFile
from swarm_ray.records.state import (
    Answers,
    ExperimentState,
    FileRef,
    Member,
    Moment,
    Refusal,
    StageClosed,
    StageOpen,
    StateRecord,
)


class Counted(NamedTuple):
    """An accepted file and its content."""

    ref: FileRef
    file: RoundFile


@dataclass
class Received:
    """Files by outcome."""

    accepted: list[Counted] = field(default_factory=list)
    late: list[FileRef] = field(default_factory=list)
    superseded: list[FileRef] = field(default_factory=list)
    rejected: list[Refusal] = field(default_factory=list)
    spent: set[str] = field(default_factory=set)
    """Nodes that cannot submit again in this round; files of earlier rounds do not count against a node."""

    @property
    def nodes(self) -> set[str]:
        """Nodes with an accepted file."""
        return {counted.ref.node for counted in self.accepted}

    def missing(self, members: Sequence[Member]) -> list[Member]:
        """Members of whose files of this round none was accepted or refused."""
        done = self.nodes | self.spent
        return [m for m in members if m.node not in done]

    def answers(self) -> Answers | None:
        """Answers to these files in a record without a stage; None without files."""
        if not (self.late or self.superseded or self.rejected):
            return None
        return Answers(tuple(self.late), tuple(self.superseded), tuple(self.rejected))


@dataclass(frozen=True)
class DueStage:
    """Whose files count now."""

    number: int
    """The open round, or the next one while none is open."""
    stage: int = 0
    """The open stage, or the next one."""
    members: frozenset[str] = frozenset()
    """Nodes whose files of it are accepted; empty while no stage is open."""
    staleness: int | None = None
    """In async pace, files up to this many rounds old count too."""
    over: bool = False
    """No round will open again: every new file is late."""

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


def outcome(turn: DueStage, made_for: Moment, *, repeated: bool, elsewhere: bool, alone: bool) -> str:
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


@dataclass(frozen=True)
class Observed:
    """What the coordinator has seen of the open stage."""

    living: int
    """Members of the round that are alive, or whose file is in."""
    submitted: int
    """Members that are finished with the stage: a file was accepted or rejected."""
    accepted: int
    """Accepted files."""
    seconds: float
    """Since the record that opened the stage was written."""


def stage_is_over(pace: PaceConfig, seen: Observed) -> bool:
    """Whether the stage closes now, by the strategy in `pace`; a stage with nothing in it never does."""
    if seen.accepted == 0:
        return False
    if seen.seconds >= pace.max_s:
        return True
    enough = seen.submitted >= math.ceil(pace.share * seen.living)
    if pace.strategy == "completion":
        return enough
    if pace.strategy == "hybrid":
        return enough and seen.seconds >= pace.min_s
    return False


def close_stage(
    opens: StageOpen,
    received: Received,
    winners: tuple[str, ...],
    seconds: float,
    store: StoreUse,
    *,
    awaited: bool,
) -> StageClosed:
    """How the stage ended.

    Args:
        opens: the stage.
        received: what came in since it opened.
        winners: whom most nodes voted for.
        seconds: how long it took.
        store: what the coordinator asked of the folder since the stage before.
        awaited: whether every member had to submit a file (barrier pace); in async pace none counts as missing.
    """
    accepted = sorted(received.accepted, key=lambda counted: (counted.ref.node, counted.ref.step))
    rewards: dict[str, list[float]] = {}
    informative: dict[str, int] = {}
    for ref, file in accepted:
        if file.reward is not None:
            rewards.setdefault(ref.node, []).append(file.reward)
        informative[ref.node] = informative.get(ref.node, 0) + file.informative
    return StageClosed(
        round=opens.round,
        stage=opens.stage,
        accepted=tuple(counted.ref for counted in accepted),
        missing=tuple(m.node for m in received.missing(opens.members)) if awaited else (),
        late=tuple(received.late),
        superseded=tuple(received.superseded),
        rejected=tuple(received.rejected),
        rewards={node: mean(found) for node, found in rewards.items()},
        informative=informative,
        winners=winners,
        seconds=seconds,
        store=store,
    )


def mean(numbers: Iterable[float]) -> float:
    """Of at least one number."""
    found = list(numbers)
    return sum(found) / len(found)


def next_state(*, over: bool, paused: bool, can_open: bool) -> ExperimentState:
    """What the experiment is once no stage is open: draining, paused, running (a round opens) or waiting.

    Args:
        over: the last round has closed.
        paused: a pause was requested.
        can_open: enough nodes are alive.
    """
    if over:
        return ExperimentState.DRAINING
    if paused:
        return ExperimentState.PAUSED
    return ExperimentState.RUNNING if can_open else ExperimentState.WAITING


def write_copies(experiment: ExperimentStore, record: StateRecord) -> None:
    """Write `current_state.json`, and the rewards and winners of the round that closed.

    Raises:
        StoreError: the folder is lost, full or not writable.
    """
    opens, closed = record.opens, record.closed
    current = {
        "state": record.state,
        "round": opens.round if opens else None,
        "stage": opens.stage if opens else None,
        "rounds": record.rounds,
        "members": [m.node for m in opens.members] if opens else [],
        "note": record.note,
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    experiment.store.replace_copy(experiment.paths.current_state, _readable(current))
    if closed is None or closed.stage > 0:  # a game's files have rewards and votes in its first stage
        return
    for key, value in (
        (experiment.paths.rewards(closed.round), closed.rewards),
        (experiment.paths.winners(closed.round), closed.winners),
    ):
        _create_copy(experiment.store, key, _readable(value))


def _create_copy(store: Store, key: str, data: bytes) -> None:
    store.make_folder(key.rpartition("/")[0])
    try:
        store.create(key, data)
    except NameTaken:
        store.replace_copy(key, data)


def _readable(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
