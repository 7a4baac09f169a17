"""A game's trainers in threads, with a coordinator or without, and without Ray."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from actors_for_tests import DirectSink, OneProcessSwarm, until
from games_for_tests import rgym_manager, tiny_policy

from actors.trainer.game_trainer import GameTrainer
from actors.trainer.settings import TrainerResult, TrainerSettings
from swarm_ray.config.load import load_config
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.genrl.policy_trainer import PolicyTrainer
from swarm_ray.genrl.recorder import GamePlace
from swarm_ray.machine.local_disk import cache_folder

__all__ = ["DirectSink", "GameSwarm", "RgymFactory", "game_config", "until"]


def game_config(rounds: int, **more: Any) -> SwarmConfig:
    """Two nodes, neither of which continues without the other; every round leaves a checkpoint."""
    pace = {"pace.expect": 2, "pace.min_nodes": 2, "pace.beat_s": 0.2}
    said = {"game": "rgym-test", "nodes": 2, "rounds": rounds, "alarm_rounds": 50, "checkpoint.every": 1}
    return load_config(None, None, said | pace | more)


class RgymFactory:
    """Makes the reasoning-gym game: one digit, 32 times, of which some are right and not all."""

    def __init__(self, verifier: Any) -> None:
        self._verifier = verifier
        self.managers: dict[str, Any] = {}

    def __call__(self, place: GamePlace) -> Any:
        seed = int(place.node[-1])
        trainer = PolicyTrainer(tiny_policy(seed, tokens=1), 32, seed=seed, node=place.node)
        more = {"rounds": place.rounds, "recorder": place.recorder, "coordinator": place.coordinator}
        made = rgym_manager(place.communication, self._verifier, seed=seed, trainer=trainer, **more)
        self.managers[place.node] = made
        return made


class GameSwarm(OneProcessSwarm):
    """A coordinator and a game's trainers; or the trainers alone.

    Args:
        root: the shared folder.
        config: the swarm.
        factory: makes a node's manager.
        coordinated: whether the coordinator runs.
        hosted: node ids.
    """

    def __init__(
        self,
        root: Path,
        config: SwarmConfig,
        factory: Any,
        *,
        coordinated: bool = True,
        hosted: Sequence[str] = ("node-0", "node-1"),
    ) -> None:
        self._factory, self._coordinated = factory, coordinated
        super().__init__(root, config, [(node,) for node in hosted])
        self._leave()

    def again(self) -> Self:
        """Every part anew."""
        super().again()
        self._leave()
        return self

    def _leave(self) -> None:
        """Where nobody coordinates, nobody holds the coordinator's place."""
        if not self._coordinated:
            self.coordinator.close()

    def trainer(  # type: ignore[override]
        self, address: ExperimentAddress, nodes: Sequence[str], reporter: DirectSink
    ) -> GameTrainer:
        more = {"threads": 1, "game": self._factory, "coordinated": self._coordinated}
        settings = TrainerSettings(address, self.config, tuple(nodes), cache_folder(), None, **more)
        return GameTrainer(settings, reporter)

    def __enter__(self) -> Self:
        if self._coordinated:
            return super().__enter__()
        self._pool = ThreadPoolExecutor(len(self.trainers) + 1)
        self._beats = self._pool.submit(self.discovery.run)
        self._ends = [self._pool.submit(trainer.run) for trainer in self.trainers]
        return self

    def played(self) -> list[TrainerResult]:
        """Play to the end."""
        with self:
            results = self.results()
            if self._coordinated:
                self.state()
            return results
