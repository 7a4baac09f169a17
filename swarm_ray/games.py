"""Running GenRL's games from Python or the command: nodes of a game as trainer actors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from drive_store import Store
from swarm_ray.config.load import (
    Overrides,
    extend_config,
    join_config,
    load_config,
    named_modules,
    read_overrides,
    value_of,
)
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import ConfigError, ExperimentExistsError, UserError
from swarm_ray.experiments.folder import ExperimentAddress, read_identity, require_name
from swarm_ray.experiments.open import config_in_force, open_or_create
from swarm_ray.genrl import require_genrl
from swarm_ray.genrl.recipe import Recipe, refuse_fixed
from swarm_ray.identity import identities_folder, identity_for
from swarm_ray.machine import ray_actors
from swarm_ray.machine.ray_instance import RayInstance
from swarm_ray.observe.display import Display
from swarm_ray.runtime.handle import Disconnected, Running
from swarm_ray.runtime.node_lease import wait_for_lease
from swarm_ray.runtime.preflight import require_extras
from swarm_ray.runtime.worker import Worker, WorkerSettings
from swarm_ray.swarm import prepare_model, wait_for_experiment

if TYPE_CHECKING:
    from swarm_ray.genrl.manager import SwarmGameManager
    from swarm_ray.genrl.recorder import GamePlace

ManagerFactory = Callable[["GamePlace"], "SwarmGameManager"]
"""Makes a node's manager, in the process that plays. It travels there by pickle: a function of a module, a lambda or a
dataclass with `__call__` will do."""
Coordination = Literal["here", "elsewhere", "none"]
"""Who closes the stages: this machine, another one, or a deadline."""


def run_game(  # noqa: PLR0913  (public signature)
    manager_factory: ManagerFactory,
    root: str,
    experiment: str,
    *,
    nodes: int = 2,
    rounds: int | None = None,
    coordinator: Coordination = "here",
    node: str | None = None,
    game: str = "",
    stages: int = 1,
    overrides: Overrides = (),
    overwrite: bool = False,
    show: bool = True,
    on_disconnect: Disconnected | None = None,
    dashboard: bool = False,
) -> Running:
    """Play a game with `nodes` nodes on this machine, until it has ended; a game that was played before is resumed.

    Args:
        manager_factory: makes a node's game manager from its `swarm_ray.genrl.GamePlace`: a recipe, or your own
            function, which runs in the process of each node.
        root: the shared folder.
        experiment: its name; it is created if it does not exist, unless another machine coordinates.
        nodes: of this machine.
        rounds: of the game; None takes the recipe's, or the configuration's.
        coordinator: here; elsewhere, where another machine runs this with "here"; or none: stages close by
            `pace.max_s` alone, and the first node creates the experiment.
        node: id of the node here, or with several the beginning of their ids; None takes `node`, for a machine that is
            alone or coordinates.
        game: name of the game, perhaps with a version: nodes that name another are refused. A recipe has its own.
        stages: of a round. A recipe says it itself.
        overrides: of the configuration: `key=value`, or a mapping.
        overwrite: delete an experiment of this name first.
        show: show progress.
        on_disconnect: called with the reason when the shared folder goes out of reach.
        dashboard: serve Ray's dashboard on this machine.

    Raises:
        UserError: GenRL is not installed, the experiment plays another game, a node lives elsewhere, and the like.
    """
    require_genrl()
    run = _GameRun(
        ExperimentAddress(root, experiment),
        manager_factory,
        _node_ids(node, nodes, coordinator),
        coordinator,
        _identity(manager_factory, game),
        stages,
        read_overrides(overrides, {} if rounds is None else {"rounds": rounds}),
        overwrite,
    )
    running = Running(
        root, (experiment,), run.workers, show=show, on_disconnect=on_disconnect, dashboard=dashboard
    )
    return running.start().wait()


@dataclass(frozen=True)
class _GameRun:
    """What `run_game` was asked for: finds or creates the game's experiment, and the worker that plays it here."""

    address: ExperimentAddress
    factory: ManagerFactory
    ids: Sequence[str]
    coordinator: Coordination
    game: str
    """The game's name in the experiment."""
    stages: int
    overrides: dict[str, Any]
    """By section and key."""
    overwrite: bool

    def workers(self, display: Display, ray: RayInstance) -> list[Worker]:
        """The worker, when everything is ready for it; none for a finished game."""
        packed, coordinates = ray_actors.pack(self.factory), self.coordinator == "here"
        named = named_modules(self.factory.swarm) if isinstance(self.factory, Recipe) else ()
        # In an experiment that was made elsewhere, only modules that are named here may be imported.
        allowed = None if coordinates else (*named_modules(self.overrides), *named)
        config = self._joined(display) if self.coordinator == "elsewhere" else self._opened()
        if config is None:
            return []
        here = config.model_copy(update={"nodes": len(self.ids), "trainers": len(self.ids)})
        if isinstance(self.factory, Recipe):
            prepare_model(here, self.ids, allowed, display.step)
        ray.begin()
        keys = None if coordinates else identities_folder()
        for name in self.ids:
            identity = None if keys is None else identity_for(name, keys)
            wait_for_lease(self.address, name, here.pace, display, identity=identity)
        settings = WorkerSettings(
            name="here" if coordinates else self.ids[0],
            coordinates=coordinates,
            coordinated=self.coordinator != "none",
            allowed_modules=allowed,
            identities=keys,
            game=packed,
        )
        return [Worker(self.address, here, self.ids, settings)]

    def _opened(self) -> SwarmConfig | None:
        """The configuration of the created or resumed experiment; None if it is over."""
        store = Store(self.address.root)
        if self.overwrite or read_identity(store, self.address) is None:
            config = self._new_config()
        else:
            stored = config_in_force(store, self.address)
            self._require_same_game(stored)
            config = extend_config(stored, self.overrides)
        self._require_possible(config)
        try:
            opened = open_or_create(self.address, config, overwrite=self.overwrite)
        except ExperimentExistsError:
            if self.coordinator != "none":
                raise
            # Another node created it at the same time.
            opened = open_or_create(self.address, self._new_config(), overwrite=False)
        return None if opened.over else opened.config

    def _joined(self, display: Display) -> SwarmConfig:
        stored = wait_for_experiment(self.address, display)
        self._require_same_game(stored)
        config = join_config(stored, {**self.overrides, "nodes": len(self.ids)})
        self._require_possible(config)
        return config

    def _new_config(self) -> SwarmConfig:
        """The configuration of a new experiment; it waits for `pace.expect` nodes, by default those of this machine."""
        refuse_fixed(self.overrides)
        nodes = len(self.ids)
        sizes = {"nodes": nodes, "pace.expect": value_of(self.overrides, "pace.expect", nodes)}
        if isinstance(self.factory, Recipe):
            return self.factory.config(read_overrides(self.overrides, sizes))
        fixed = {"game": self.game, "stages": self.stages}
        return load_config(None, None, read_overrides(self.overrides, sizes, fixed))

    def _require_possible(self, config: SwarmConfig) -> None:
        """Check what can be checked before an experiment is created.

        Raises:
            UserError: it asks for what is not installed, or cannot be in a game.
        """
        require_extras(config.tracking, config.exchange, config.direct)
        if config.exchange == "hivemind" and self.coordinator == "none":
            raise ConfigError(
                "exchange=hivemind: direct exchange needs a coordinator; take --coordinator here, or "
                "exchange=folder"
            )
        if config.hub.repository:
            raise ConfigError(
                "hub.repository: models of games are not pushed; use export-model when it is done"
            )

    def _require_same_game(self, stored: SwarmConfig) -> None:
        if stored.game == self.game:
            return
        name, root = self.address.experiment, self.address.root
        plays = f"plays {stored.game}" if stored.game else "does not play a game"
        raise ConfigError(
            f"experiment {name!r} in {root} {plays}, and this is {self.game}: take the recipe it was made with, or "
            "another --experiment name"
        )


def _identity(factory: ManagerFactory, game: str) -> str:
    """The game's name in the experiment."""
    if isinstance(factory, Recipe):
        return factory.game_id
    module = getattr(factory, "__module__", "")
    name = getattr(factory, "__qualname__", type(factory).__name__)
    return game or f"own-{hashlib.sha256(f'{module}.{name}'.encode()).hexdigest()[:8]}"


def _node_ids(node: str | None, nodes: int, coordinator: Coordination) -> list[str]:
    """Ids of this machine's nodes.

    Raises:
        UserError: one is impossible, or is needed and not there.
    """
    if nodes < 1:
        raise UserError(f"nodes: {nodes} is not possible; it must be a whole number above 0")
    if node is None and coordinator == "elsewhere":
        raise UserError("a machine that joins a game names its node: give --node ID, unique in the swarm")
    alone = node is not None and nodes == 1
    ids = [str(node)] if alone else [f"{node or 'node'}-{number}" for number in range(nodes)]
    for name in ids:
        require_name(name, "a node")
    return ids
