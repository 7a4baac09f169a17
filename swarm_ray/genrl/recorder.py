"""What a game's manager is given and reports: its node's place in the swarm, and a row for each round to a recorder.

Neither GenRL nor torch is needed to read it: an actor or a launcher of one's own derives from `GameRecorder`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import SwarmError
from swarm_ray.records.metrics import StepMetrics

if TYPE_CHECKING:
    from swarm_ray.genrl.communication import GameCommunication, GameCoordinator

_log = logging.getLogger("swarm_ray.genrl")


class GameError(SwarmError):
    """A game cannot go on: what it is made of failed in a round, and playing on would hide it."""

    def __init__(self, round_: int, stage: int, doing: str, cause: str) -> None:
        super().__init__(round_, stage, doing, cause)
        self.round, self.stage, self.doing, self.cause = round_, stage, doing, cause

    def __str__(self) -> str:
        return (
            f"the game failed in round {self.round}, stage {self.stage}, while {self.doing}: {self.cause}; "
            "mend that part of the game and start again: finished rounds are kept where the game is recorded"
        )


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """What a trainer did in a round; one of our own has it as `report`."""

    trained: bool = False
    loss: float | None = None
    clip_share: float | None = None
    entropy: float | None = None
    grad_norm: float | None = None
    generated_tokens: int = 0
    unfaithful: float = 0.0
    """Share of own completions whose text does not encode to the sampled tokens again; 0 if unknown."""
    problems: tuple[str, ...] = ()
    """What went wrong and was tolerated, in words."""


class GameRow(StepMetrics, kw_only=True):
    """What one node did in one round of a game: metrics over all its stages, not yet of a node's incarnation.

    `counters.used` are the external rollouts trained on or shown in the prompts of a later stage; with 0 the round was
    played alone. A whole payload that is refused counts as one in `counters.rejected`.
    """

    stages: int
    """Stages that the round had."""
    informative: int
    """Own rollouts whose rewards differ."""
    vote: str | None
    """The other node whose completions were worth most to this one."""
    problems: tuple[str, ...]
    """What went wrong and was tolerated, in words: who was missing, what was refused, why nothing was used."""


def step_metrics(
    row: GameRow, node: str, incarnation: str, *, step: int | None = None, alone: bool = False
) -> StepMetrics:
    """A game's row as one of a node's metrics.

    Args:
        row: of the round.
        node: whose it is.
        incarnation: of the node.
        step: the node's count of updates; its round where that is not counted apart.
        alone: no coordinator was there.
    """
    own = {
        "node": node,
        "incarnation": incarnation,
        "step": row.round if step is None else step,
        "alone": alone,
    }
    return StepMetrics(**{name: getattr(row, name) for name in StepMetrics.__struct_fields__} | own)


class GameRecorder:
    """Remembers where a game was, and is notified of its rounds and its end.

    The manager calls it from the thread that plays. Whatever a method raises ends the game, `StopRequested` too. This
    one is for games outside Swarm Ray's actors: it keeps nothing, and logs rounds and errors.
    """

    def first_round(self) -> int:
        """The round to begin with: 0, or the one after the last that was recorded."""
        return 0

    def restore(self, manager: Any) -> None:
        """Give `manager.trainer` back what a checkpoint holds; called once, before the first round."""

    def round_ended(self, manager: Any, row: GameRow) -> None:  # noqa: ARG002 - others need the manager
        """A round is over, trained on and counted; `manager.state` still holds its trees.

        Here is the place for the checkpoint and the metrics.
        """
        _log.info(
            "round %d: reward %.3f, %d own rollouts, %d external (%d offered), %s",
            row.round,
            row.reward,
            row.local,
            row.external,
            row.counters.offered,
            "trained" if row.trained else "not trained",
        )
        for problem in row.problems:
            _log.warning("round %d: %s", row.round, problem)

    def failed(self, manager: Any, error: SwarmError) -> None:  # noqa: ARG002
        """The game ends with `error`, which is raised afterwards."""
        _log.error("%s", error)

    def ended(self, manager: Any) -> None:  # noqa: ARG002
        """The game is over: its last round was played."""
        _log.info("the game is over")


class ShortForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of the games that come with GenRL, in a few words."""

    kind: Literal["rgym", "multistage_math"]
    rule: Literal["upstream", "paper"] = "paper"
    """rgym: which rollouts of others are learned from."""
    datasets: Literal["tasks", "genrl"] = "tasks"
    """rgym: the specialties of `swarm.tasks`, or GenRL's own composite of the paper's nine."""
    num_train_samples: int | None = None
    """I: questions per node and round; None takes `swarm.local`."""
    num_transplant_trees: int | None = None
    """J: rollouts of others per round, at most; None takes `swarm.external`. multistage_math has no such choice: all
    that others say stands in the prompts of the next stage."""
    num_generations: int | None = None
    """G: completions per question; None takes `swarm.completions`."""
    trainer: Literal["policy", "genrl"] = "policy"
    """Our policies, or GenRL's own `GRPOLanguageTrainerModule` (for a Hugging Face model with a chat template)."""
    system_prompt_id: str = "default"
    """rgym: of reasoning-gym's system prompts."""
    openings: tuple[str, ...] = ()
    """With our policies: how the completions of each stage begin, for a model that cannot be told to."""


@dataclass(frozen=True)
class GamePlace:
    """A node's place in the swarm."""

    node: str
    config: SwarmConfig
    """The experiment's, with this worker's local settings."""
    communication: GameCommunication
    """Carries the payloads; to be given to the manager."""
    coordinator: GameCoordinator
    """GenRL's coordinator, answered from the folder; to be given to the manager."""
    recorder: GameRecorder
    """Keeps checkpoints and metrics; to be given to the manager."""
    allowed_modules: tuple[str, ...] | None = None
    """Modules with tasks that may be imported; None for those that the configuration names."""

    @property
    def rounds(self) -> int:
        """Rounds of the game: the manager's `max_round`."""
        return self.config.rounds

    @property
    def seed(self) -> int:
        """Root of the random streams; those of a node are derived from it and the node's id."""
        return self.config.seed
