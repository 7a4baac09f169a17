"""A worker: one experiment's actors on this machine, started, watched and stopped. Only this module imports actors."""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from actors import remote
from actors.coordinator.closing import RoundRules
from actors.trainer.settings import TrainerResult, TrainerSettings
from drive_store import Store, StoreError
from swarm_ray.config.load import config_hash, to_json
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import ActorFailure, NodeFailure, SwarmError
from swarm_ray.experiments.folder import ExperimentAddress, local_folder
from swarm_ray.machine import ray_actors
from swarm_ray.machine.local_disk import cache_folder
from swarm_ray.machine.ray_actors import INHERITED, NOTHING, Share
from swarm_ray.machine.ray_instance import STARTED_WITHIN_S, RayInstance
from swarm_ray.machine.versions import installed_versions
from swarm_ray.observe.snapshot import ExperimentSnapshot
from swarm_ray.records.metrics import Event
from swarm_ray.records.state import ExperimentState
from swarm_ray.runtime.failure_policy import FailurePolicy
from swarm_ray.runtime.placement import TrainerPlacement, place_trainers
from swarm_ray.runtime.supervision import QUICK_S, RAY, Supervisor
from swarm_ray.runtime.worker_view import WorkerView
from swarm_ray.tracking.factory import make_trackers

STOP_WITHIN_S = 6.5
"""Time limit for trainers to end a decode and write a final checkpoint."""
GONE_WITHIN_S = 8.0
"""Then remaining actors are killed; unwritten rows stay on this machine's disk for the next start."""
NAME_WITHIN_S = 10.0
"""The name of an actor that was ended is free by then."""
ENDED_WITHIN_S = 60.0
"""Time limit for trackers to send and copy their data at the end of a run that was not stopped."""


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """How a worker takes part."""

    name: str
    """This worker's id."""
    coordinates: bool
    """Whether the coordinator is here, and not on another machine."""
    coordinated: bool = True
    """Whether there is a coordinator at all; only the nodes of a game can do without."""
    allowed_modules: tuple[str, ...] | None = None
    """Modules with tasks that may be imported; None for those the configuration names."""
    sharers: int = 1
    """How many workers like this one share the machine at the same time."""
    identities: Path | None = None
    """The folder with the nodes' keys; None gives each a key for this experiment alone."""
    game: bytes = b""
    """Makes the manager of a GenRL game, packed by `ray_actors.pack`; empty trains by SAPO."""


class Worker:
    """The actors of one experiment on this machine.

    Args:
        address: the experiment, which exists.
        config: its configuration, with this worker's local settings.
        nodes: ids of the nodes to host; may be empty for a coordinator alone.
        settings: how it takes part.
    """

    def __init__(
        self,
        address: ExperimentAddress,
        config: SwarmConfig,
        nodes: Sequence[str],
        settings: WorkerSettings,
    ) -> None:
        # Actors of an existing Ray start in another working directory, where a relative root would differ.
        self.address = ExperimentAddress(Store(address.root).root, address.experiment)
        self.config, self.nodes, self.settings = config, tuple(nodes), settings
        self.failure: Exception | None = None
        self.state = "starting"
        self.results: list[TrainerResult] = []
        self.resumed: dict[str, str] = {}
        """What each node that resumed here recovered, and what not."""
        self._policy = FailurePolicy(config.supervision.restarts)
        self._supervisor = Supervisor(self._policy, None, self._restarted, STARTED_WITHIN_S)
        self._placement, self._begun = TrainerPlacement(), set[int]()
        self._closed, self._steps = 0, dict[str, int]()
        self._notice = self._reach = ""
        self._view = WorkerView(address.experiment, config, self.nodes)

    def start(self, ray: RayInstance | None = None) -> None:
        """Start all actors; they build themselves while `watch` waits for them.

        Args:
            ray: the Ray that they run on, which is started again when it dies; None if it is not restarted.

        Raises:
            ActorFailure: an actor could not be started, or the trainers find no free resources.
            StoreUnavailable: the experiment's folder cannot be read.
        """
        supervisor = self._supervisor = Supervisor(self._policy, ray, self._restarted, STARTED_WITHIN_S)
        address, config, name, versions = self.address, self.config, self.settings.name, installed_versions()
        hashed = config_hash(config)
        if self.settings.coordinates:
            rules = RoundRules(config.pace, config.rounds, config.stages, config.alarm_streak, hashed)
            coordinator = (remote.CoordinatorActor, address, rules, name)
            supervisor.start("coordinator", lambda: self._spawn("coordinator", *coordinator))
        if not self.nodes:
            return
        kept = local_folder(address)
        heartbeats = kept / "heartbeats" / name
        shutil.rmtree(heartbeats, ignore_errors=True)  # of earlier incarnations
        if config.tracking.prometheus:
            self.tell(f"Prometheus: http://{ray_actors.metrics_address()}/metrics")
        # No other experiment's runs of wandb have the prefix `kept.name`.
        asked, shown = config.tracking, to_json(config) if config.tracking.wandb != "off" else {}
        named = (address.experiment, kept.name)
        trackers = partial(make_trackers, asked, shown, *named, make_gauge=remote.make_gauge)
        logger = (remote.LoggerActor, address, config.log, kept / "logs" / name, versions, trackers)
        supervisor.start("logger", lambda: self._spawn("logger", *logger), runs=False, by_ray=True)
        discovery = (remote.DiscoveryActor, address, name, config.pace, hashed, versions, heartbeats)
        supervisor.start("discovery", lambda: self._spawn("discovery", *discovery), by_ray=True)
        self._placement = place_trainers(
            self.config.trainers, self.config.policy.device, self.nodes, self.settings.sharers
        )
        for number, role in enumerate(self._placement.roles):
            supervisor.start(role, partial(self._make_trainer, number), share=self._placement.share)

    def tell(self, notice: str) -> None:
        """Show a line until something more urgent comes up."""
        self._notice = " | ".join(filter(None, [self._notice, notice]))

    def watch(self, timeout_s: float) -> bool:
        """Wait briefly; True once everything has ended. A failure ends the run as failed, and is kept."""
        if not self._over():
            try:
                for role, result in self._supervisor.watch(timeout_s):
                    self._ended(role, result)
            except (SwarmError, StoreError) as error:
                self.failure = self.failure or error
                self._finish(ExperimentState.FAILED, str(error))
        return self._over()

    def progress(self) -> ExperimentSnapshot:
        """The actors' current state; the last known state while they are busy or dead."""
        view = self._view
        if not self._over():
            starting = self._supervisor.starting()
            if status := self._supervisor.ask("coordinator", "status"):
                if status.closed != self._closed:
                    self._closed = status.closed
                    self._progressed("coordinator")
                view = view.with_coordinator(status, starting=starting, hosts=bool(self.nodes))
            if (reach := self._supervisor.ask("discovery", "folder_problem")) is not None:
                self._reach = str(reach)
            if logged := self._supervisor.ask("logger", "progress"):
                self._steps_taken({row.node: row.step for row in logged.rows})
                self.resumed |= logged.resumed
                if logged.remark not in self._notice:
                    self.tell(logged.remark)
                view = view.with_logger(
                    logged, self._reach, coordinates=self.settings.coordinates, starting=starting
                )
        state = self.state if self._over() or self.failure else view.state
        self._view = replace(view, state=state, note=str(self.failure or view.note))
        return replace(self._view, note=self._view.note or self._notice).snapshot()

    def stop(
        self, state: ExperimentState = ExperimentState.STOPPED, note: str = "stopped on request"
    ) -> None:
        """End the experiment here: its state record says so, logs are written, every actor is ended.

        Harmless when repeated.
        """
        if self._over():
            tracked = self.config.tracking.wandb != "off" or self.config.tracking.tensorboard
            self.close(ENDED_WITHIN_S if tracked else GONE_WITHIN_S)
        else:
            self._finish(state, note)

    def _over(self) -> bool:
        return not self._supervisor.at_work() - {"discovery"}

    def _make_trainer(self, number: int) -> Any:
        placed = self._placement
        # The requested `resume` applies to the first start alone.
        again = {"resume": "all"} if number in self._begun else {}
        self._begun.add(number)
        settings = TrainerSettings(
            self.address,
            self.config.model_copy(update=again),
            placed.hosted[number],
            cache_folder(),
            self.settings.allowed_modules,
            threads=placed.threads[number],
            import_from=tuple(str(Path(folder).resolve()) for folder in sys.path),
            identities=self.settings.identities,
            coordinated=self.settings.coordinated,
        )
        return self._spawn(
            f"trainer-{number}",
            remote.TrainerActor,
            settings,
            self._supervisor.handle("logger"),
            self._supervisor.handle("discovery"),
            self.settings.game,
            share=placed.share,
            place=placed.group.bundle(number) if placed.group else None,
        )

    def _spawn(self, role: str, actor: Any, *arguments: Any, **where: Any) -> Any:
        """Start an actor; without a placement it stays on the driver's machine, where its files are."""
        root = hashlib.sha256(self.address.root.encode()).hexdigest()[:8]
        namespace = f"swarm-ray-{self.address.experiment}-{root}"
        where = where or {"place": ray_actors.beside_driver()}
        return spawn(actor, f"{role}/{self.settings.name}", namespace, *arguments, **where)

    def _ended(self, role: str, result: Any) -> None:
        """Keep the result of an actor whose work has ended."""
        if role == "coordinator":
            self.state = str(result)
        elif isinstance(result, TrainerResult):
            self.results.append(result)
            problems = {n: p for result in self.results for n, p in result.problems.items()}
            if set(problems) == set(self.nodes):  # a coordinator would wait for other nodes forever
                raise NodeFailure(f"every node failed; {min(problems)}: {problems[min(problems)]}")
            if not self.settings.coordinates:
                self.state = ExperimentState.STOPPED if result.stopped else ExperimentState.FINISHED

    def _restarted(self, role: str, text: str) -> None:
        """Report a restart: on the display until the actor makes progress, and in the log."""
        self._notice = text
        nodes = self._placement.nodes_of(role) or ("",)
        self._supervisor.call("logger", "log_events", [Event("restarted", self._notice, n) for n in nodes])

    def _steps_taken(self, steps: dict[str, int]) -> None:
        moved = {node for node, step in steps.items() if self._steps.get(node) != step}
        self._steps |= steps
        for role in self._placement.roles:
            if moved & set(self._placement.nodes_of(role)):
                self._progressed(role)

    def _progressed(self, role: str) -> None:
        """Reset the restart budgets of `role` and of what it depends on: it has finished a round."""
        for one in (role, "logger", "discovery", RAY):
            if self._policy.used(one):
                self._policy.progressed(one)
                self._notice = ""

    def _finish(self, state: ExperimentState, note: str) -> None:
        """Ask every actor to stop, wait briefly, and end every process."""
        began, supervisor = time.monotonic(), self._supervisor
        stops = [
            supervisor.call("coordinator", "stop", state, note),
            supervisor.call("discovery", "fail", note) if state == ExperimentState.FAILED else None,
            *[supervisor.call(role, "stop") for role in self._placement.roles],
        ]
        runs = {call: role for call, role in supervisor.running().items() if role != "discovery"}
        supervisor.wait_for([*runs, *stops], STOP_WITHIN_S, lambda c: self._keep_result(runs.get(c), c))
        self.state = state
        self.close(GONE_WITHIN_S - (time.monotonic() - began))

    def _keep_result(self, role: str | None, call: Any) -> None:
        """Keep the result of a stopped trainer; a failure after the stop is ignored."""
        try:
            result = ray_actors.result_of(call, QUICK_S) if role else None
        except (SwarmError, StoreError):
            return
        if isinstance(result, TrainerResult):
            self.results.append(result)

    def close(self, within_s: float = GONE_WITHIN_S) -> None:
        """Write the logger's remaining rows, and end every actor's process; harmless when repeated."""
        last = [self._supervisor.call("logger", "close"), self._supervisor.call("discovery", "stop")]
        calls = [*last, *self._supervisor.running()]
        self._supervisor.wait_for(calls, max(QUICK_S, within_s), lambda _: None)
        self._supervisor.end()
        if self._placement.group is not None:
            self._placement.group.release()


def spawn(
    actor: Any, name: str, namespace: str, *arguments: Any, share: Share = NOTHING, place: Any = None
) -> Any:
    """Start an actor under a name of its own in the experiment's namespace; answers its handle at once.

    Args:
        actor: a Ray actor class.
        name: free in the namespace, or held by an actor that was ended a moment ago.
        namespace: the experiment's.
        arguments: of its `__init__`.
        share: what it asks of Ray.
        place: where it goes, as `ray_actors.beside_driver` or `PlacementGroup.bundle` say; None leaves that to Ray.

    Raises:
        ActorFailure: another actor has the name and keeps it.
    """
    options: dict[str, Any] = {"num_cpus": share.cpus, "num_gpus": share.gpus, "scheduling_strategy": place}
    deadline = time.monotonic() + NAME_WITHIN_S
    while True:
        try:
            return actor.options(
                name=name, namespace=namespace, runtime_env={"env_vars": dict(INHERITED)}, **options
            ).remote(*arguments)
        except ValueError as error:
            if time.monotonic() > deadline:
                raise ActorFailure(f"{name} cannot be started in {namespace}: {error}") from error
            time.sleep(0.1)
