"""What a game is built on: its node's place in the swarm, handed to whoever makes the game's manager."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.genrl.recorder import GameRecorder

if TYPE_CHECKING:
    from swarm_ray.genrl.communication import GameCommunication
    from swarm_ray.genrl.coordinator import GameCoordinator
    from swarm_ray.genrl.manager import SwarmGameManager


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
