"""What the coordinator writes: state records, and the rounds and stages that they open and close."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple, Self

import msgspec

from swarm_ray.records.nodes import NodeTotals, StoreUse


class ExperimentState(StrEnum):
    """What an experiment is doing, as its newest state record says."""

    WAITING = "waiting"
    """For nodes: no round is open."""
    RUNNING = "running"
    PAUSED = "paused"
    """No further round opens until somebody asks for it."""
    DRAINING = "draining"
    """All rounds have closed; the last files and logs arrive."""
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


ENDED = (ExperimentState.FINISHED, ExperimentState.STOPPED, ExperimentState.FAILED)
UNDER_WAY = (ExperimentState.WAITING, ExperimentState.RUNNING, ExperimentState.PAUSED)
"""States of an experiment that has not ended, as people see them: one that drains is shown as running."""


class ControlRequest(msgspec.Struct, frozen=True):
    """What somebody asks of the coordinator; it answers in the state log."""

    action: Literal["stop", "pause", "resume"]
    asked_at: str
    """Wall clock, ISO 8601, for people."""


class FileRef(msgspec.Struct, frozen=True):
    """A published round file as the state log names it."""

    node: str
    incarnation: str
    key: str
    sha256: str
    """Of the payload."""
    size: int
    step: int = 0
    """The node's count of updates when it published; at most one file counts per node, step and stage."""


class Refusal(msgspec.Struct, frozen=True):
    """A published round file that was not accepted, and why."""

    node: str
    key: str
    reason: str

    @property
    def damaged(self) -> bool:
        """Whether the bytes are not what any writer wrote, so that publishing them again may help."""
        return (
            self.reason.partition(":")[0] == "Corrupt"
        )  # of `drive_store`, which the algorithm does not import


class NodeTally(msgspec.Struct, frozen=True):
    """What the state log says of a node when a stage closes."""

    round: int
    """The last round of which a file of the node was accepted; -1 before the first."""
    step: int
    reward: float | None
    """Mean own reward in the stage that closed; None when the node's file is missing."""
    totals: NodeTotals
    problem: str | None = None


class StageClosed(msgspec.Struct, frozen=True, kw_only=True):
    """How a stage ended; a stored one names everything but `store`."""

    round: int
    stage: int
    accepted: tuple[FileRef, ...]
    missing: tuple[str, ...]
    late: tuple[FileRef, ...]
    superseded: tuple[FileRef, ...]
    rejected: tuple[Refusal, ...]
    rewards: dict[str, float]
    informative: dict[str, int]
    winners: tuple[str, ...]
    seconds: float
    store: StoreUse | None = None
    """What the coordinator asked of the folder since it closed the stage before."""

    @property
    def moment(self) -> Moment:
        """When it was open."""
        return Moment(self.round, self.stage)

    @classmethod
    def empty(cls, round: int, stage: int) -> Self:  # noqa: A002  (the field's name)
        """A stage of which nothing is known; `msgspec.structs.replace` adds what is."""
        return cls(
            round=round,
            stage=stage,
            accepted=(),
            missing=(),
            late=(),
            superseded=(),
            rejected=(),
            rewards={},
            informative={},
            winners=(),
            seconds=0.0,
        )


class Answers(msgspec.Struct, frozen=True):
    """What became of files that came in while no stage was open, and of those that never came."""

    late: tuple[FileRef, ...] = ()
    superseded: tuple[FileRef, ...] = ()
    rejected: tuple[Refusal, ...] = ()
    expired: dict[str, tuple[int, ...]] = {}
    """Node to the rounds of files that it published and that never arrived; in the last record only."""


class Member(msgspec.Struct, frozen=True):
    """A node that takes part in a round."""

    node: str
    incarnation: str


class StageOpen(msgspec.Struct, frozen=True):
    """What opens; durations in seconds, never wall-clock deadlines."""

    round: int
    stage: int
    members: tuple[Member, ...]
    min_s: float
    max_s: float

    @property
    def moment(self) -> Moment:
        """When it is open."""
        return Moment(self.round, self.stage)


class StateRecord(msgspec.Struct, frozen=True):
    """What closes one stage and opens the next: the commit point of the swarm."""

    state: ExperimentState
    rounds: int
    closed: StageClosed | None
    opens: StageOpen | None
    tallies: dict[str, NodeTally]
    note: str = ""
    learned_nothing: bool = False
    """Every group of every node had zero advantage for `alarm_rounds` rounds in a row, up to this record."""
    barren: int = 0
    """Rounds in a row, up to this record, without an informative group in the whole swarm."""
    config_hash: str = ""
    """Of the configuration that holds from here on; empty for the one that `experiment.json` names."""
    answers: Answers | None = None
    """Files answered outside a stage; None where there were none."""
    replies: dict[str, str] = {}
    """Control requests answered by this record, id to what was done."""

    @property
    def cut_short(self) -> str:
        """Why the experiment ended before its last round, in words; empty if it did not."""
        early = self.state in {ExperimentState.STOPPED, ExperimentState.FAILED}
        return f"the experiment is {self.state}: {self.note}" if early else ""


@dataclass(frozen=True)
class CoordinatorProgress:
    """What a display needs of a coordinator."""

    state: str
    round: int
    registered: tuple[str, ...]
    record: StateRecord | None
    problems: dict[str, str]
    seconds: float
    """Since the open stage began."""
    rewards: tuple[float, ...]
    """Mean own reward over the nodes, of the last rounds that closed."""
    closed: int = 0
    """Closed rounds of the experiment, including those of earlier coordinators."""
    problem: str = ""
    """What stops the coordinator from continuing, or made it end."""
    unreachable: bool = False
    """Whether the folder is unreachable, which may pass."""


class Moment(NamedTuple):
    """A stage of a round; moments are ordered as they come."""

    round: int
    stage: int = 0

    def following(self, stages: int) -> Moment:
        """What comes after it in rounds of so many stages."""
        return Moment(self.round, self.stage + 1) if self.stage + 1 < stages else Moment(self.round + 1)


FIRST = Moment(0)
