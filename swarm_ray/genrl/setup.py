"""What a game's manager is built from: the game in a few words, and its node's place in the swarm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.genrl.recorder import GameRecorder

if TYPE_CHECKING:
    from swarm_ray.genrl.communication import GameCommunication
    from swarm_ray.genrl.coordinator import GameCoordinator
    from swarm_ray.genrl.manager import SwarmGameManager


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


ManagerFactory = Callable[[GamePlace], "SwarmGameManager"]
"""Makes a node's manager, in the process that plays. It travels there by pickle: a function of a module, a lambda or a
dataclass with `__call__` will do."""
