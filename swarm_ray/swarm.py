"""Running swarms from Python or the command: simulate, coordinate, work."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from drive_store import Store
from swarm_ray.config.load import Overrides, join_config, named_modules, read_overrides
from swarm_ray.config.schema import HubConfig, SwarmConfig
from swarm_ray.errors import UserError
from swarm_ray.experiments.folder import ExperimentAddress, read_identity, require_name
from swarm_ray.experiments.open import config_in_force, newest_record, open_or_create
from swarm_ray.identity import identities_folder, identity_for
from swarm_ray.machine.ray_instance import RayInstance
from swarm_ray.models.hub import require_hub
from swarm_ray.observe.display import Display
from swarm_ray.records.state import UNDER_WAY, ExperimentState
from swarm_ray.runtime.handle import Disconnected, Running
from swarm_ray.runtime.node_lease import wait_for_lease
from swarm_ray.runtime.preflight import prepare_starts, refuse_game, require_extras
from swarm_ray.runtime.worker import Worker, WorkerSettings
from swarm_ray.tasks.questions import TaskSet

WAIT_LOOK_S = 0.5


class Swarm(Running):
    """A whole swarm on this machine, and beside it, if asked for, the same swarm without sharing.

    `start` and `wait` run it; as a context manager it is stopped at the end of the block, whatever happens.

    Args:
        config: the swarm; `pace.expect` becomes its number of nodes.
        root: the shared folder.
        experiment: its name; by default the preset with the time.
        baseline: also run I + J local and no external rollouts, under the name with `-alone`.
        overwrite: delete experiments of these names first; without it, an existing one is resumed.
        show: show progress.
        on_disconnect: called with the reason when the shared folder goes out of reach, and may mount it again.
        dashboard: serve Ray's dashboard on this machine, where Ray is started here; needs `ray[default]`.
    """

    def __init__(  # noqa: PLR0913  (public signature)
        self,
        config: SwarmConfig,
        root: str = "runs",
        experiment: str | None = None,
        *,
        baseline: bool = False,
        overwrite: bool = False,
        show: bool = True,
        on_disconnect: Disconnected | None = None,
        dashboard: bool = False,
    ) -> None:
        name = experiment or f"{config.preset}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        self.config = config.model_copy(
            update={"pace": config.pace.model_copy(update={"expect": config.nodes})}
        )
        self._plan = [(ExperimentAddress(root, name), self.config)]
        if baseline:
            # A node has one repository, which belongs to the sharing swarm.
            alone = {"local": config.local + config.external, "external": 0, "hub": HubConfig()}
            self._plan.append(
                (ExperimentAddress(root, f"{name}-alone"), self.config.model_copy(update=alone))
            )
        self._overwrite = overwrite
        super().__init__(
            root,
            tuple(address.experiment for address, _ in self._plan),
            self._make_workers,
            show=show,
            on_disconnect=on_disconnect,
            dashboard=dashboard,
        )

    def _make_workers(self, display: Display, ray: RayInstance) -> list[Worker]:
        refuse_game(self.config.game)
        display.step("preparing the model")
        nodes = [f"node-{i}" for i in range(self.config.nodes)]
        require_extras(self.config.tracking, self.config.exchange, self.config.direct)
        require_hub(self.config.hub, nodes)
        new = self._overwrite or any(read_identity(Store(one.root), one) is None for one, _ in self._plan)
        if new:  # fail before an experiment is created
            self._make_ready(nodes, display, ray)
        opened = {
            address: open_or_create(address, config, overwrite=self._overwrite)
            for address, config in self._plan
        }
        to_run = [(address, found.config) for address, found in opened.items() if not found.over]
        if to_run and not new:
            self._make_ready(nodes, display, ray)
        settings = WorkerSettings(name="here", coordinates=True, sharers=len(to_run))
        return [Worker(address, config, nodes, settings) for address, config in to_run]

    def _make_ready(self, nodes: Sequence[str], display: Display, ray: RayInstance) -> None:
        TaskSet(self.config.tasks)  # user errors are reported before Ray starts
        if self.config.policy.is_tiny:
            ray.begin()  # it starts while the model is prepared
        prepare_model(self.config, nodes, None, display.step)
        ray.begin()


def prepare_model(
    config: SwarmConfig,
    nodes: Sequence[str],
    allowed_modules: tuple[str, ...] | None,
    report: Callable[[str, float], None],
) -> None:
    """Make the embedded model's starts, or check that a Hugging Face model exists and fits, before any actor runs.

    Raises:
        UserError: a task, model or device is not available, or the Hub's token is missing.
    """
    require_hub(config.hub, nodes)
    if config.policy.is_tiny:
        prepare_starts(config.policy, config.tasks, nodes, allowed_modules, report)
        return
    from swarm_ray.policies.loading import choose_device, free_memory, preflight

    device = choose_device(config.policy.device)
    fitting = preflight(config, len(nodes), device).nodes_in(free_memory(device))
    report(f"{fitting} nodes of {config.policy.model} would fit on {device}", 1.0)


def simulate(  # noqa: PLR0913  (public signature)
    config: SwarmConfig,
    root: str = "runs",
    experiment: str | None = None,
    *,
    baseline: bool = False,
    overwrite: bool = False,
    show: bool = True,
    on_disconnect: Disconnected | None = None,
    dashboard: bool = False,
) -> Swarm:
    """Run a swarm to its end; answers the handle with its results. The arguments are those of `Swarm`.

    Raises:
        UserError: an experiment exists, the model cannot be loaded or does not fit, and the like.
    """
    return (
        Swarm(
            config,
            root,
            experiment,
            baseline=baseline,
            overwrite=overwrite,
            show=show,
            on_disconnect=on_disconnect,
            dashboard=dashboard,
        )
        .start()
        .wait()
    )


def coordinate(  # noqa: PLR0913  (public signature)
    config: SwarmConfig,
    root: str,
    experiment: str,
    *,
    train: Sequence[str] = (),
    overwrite: bool = False,
    show: bool = True,
    on_disconnect: Disconnected | None = None,
    dashboard: bool = False,
) -> Running:
    """Create or resume an experiment, and coordinate it until it has ended.

    Nodes run on other machines; this machine also trains those named in `train`.

    Raises:
        UserError: the experiment has other settings or another living coordinator, a node lives elsewhere, and the
            like.
    """
    address = ExperimentAddress(root, experiment)

    def prepare(display: Display, ray: RayInstance) -> list[Worker]:
        refuse_game(config.game)
        require_extras(config.tracking, config.exchange, config.direct)
        opened = open_or_create(address, config, overwrite=overwrite)
        if opened.over:
            return []
        ray.begin()
        if not train:
            return [Worker(address, opened.config, (), WorkerSettings(name="coordinator", coordinates=True))]
        here = join_config(opened.config, {"nodes": len(train)})
        prepare_model(here, train, None, display.step)
        keys = identities_folder()
        for name in train:
            wait_for_lease(address, name, here.pace, display, identity=identity_for(name, keys))
        settings = WorkerSettings(name="coordinator", coordinates=True, identities=keys)
        return [Worker(address, here, train, settings)]

    return (
        Running(root, (experiment,), prepare, show=show, on_disconnect=on_disconnect, dashboard=dashboard)
        .start()
        .wait()
    )


def work(  # noqa: PLR0913  (public signature)
    root: str,
    experiment: str,
    node: str,
    nodes: int = 1,
    overrides: Overrides = (),
    *,
    show: bool = True,
    on_disconnect: Disconnected | None = None,
    dashboard: bool = False,
) -> Running:
    """Train `nodes` nodes of an experiment that another machine coordinates, until it has ended.

    The configuration comes from the folder; `overrides` may change per-machine settings. Waits for an experiment that
    does not exist yet. A node that took part before resumes from its newest checkpoint.

    Raises:
        UserError: the node lives elsewhere, the experiment is finished, an override differs from the swarm's, and the
            like.
    """
    address, keys = ExperimentAddress(root, experiment), identities_folder()
    ids = [node] if nodes == 1 else [f"{node}-{i}" for i in range(nodes)]
    for name in ids:
        require_name(name, "a node")

    def prepare(display: Display, ray: RayInstance) -> list[Worker]:
        stored = wait_for_experiment(address, display)
        refuse_game(stored.game)
        config = join_config(stored, read_overrides(overrides, {"nodes": nodes}))
        require_extras(config.tracking, config.exchange, config.direct)
        ray.begin()
        allowed = named_modules(overrides)
        prepare_model(config, ids, allowed, display.step)
        for name in ids:
            wait_for_lease(address, name, config.pace, display, identity=identity_for(name, keys))
        settings = WorkerSettings(name=node, coordinates=False, allowed_modules=allowed, identities=keys)
        return [Worker(address, config, ids, settings)]

    return (
        Running(root, (experiment,), prepare, show=show, on_disconnect=on_disconnect, dashboard=dashboard)
        .start()
        .wait()
    )


def wait_for_experiment(address: ExperimentAddress, display: Display) -> SwarmConfig:
    """The experiment's configuration, as soon as the experiment exists and is under way.

    Raises:
        UserError: it is finished.
    """
    store = Store(address.root)
    name = address.experiment
    while read_identity(store, address) is None:
        display.step(f"waiting for experiment {name!r} in {address.root}: no coordinator has created it yet")
        time.sleep(WAIT_LOOK_S)
    while (record := newest_record(store, address)) is not None and record.state not in UNDER_WAY:
        if record.state in {ExperimentState.FINISHED, ExperimentState.DRAINING}:
            raise UserError(f"experiment {name!r} is {record.state}; nothing is left to train")
        display.step(f"experiment {name!r} is {record.state}; waiting for a coordinator to resume it")
        time.sleep(WAIT_LOOK_S)
    return config_in_force(store, address)
