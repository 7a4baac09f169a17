"""A worker: one experiment's actors on this machine, started, watched and ended. Alone in importing actors."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from actors import remote
from actors.coordinator import CoordinatorStatus
from actors.logger import Progress
from actors.trainer_settings import TrainerResult, TrainerSettings
from drive_store import StoreError, new_incarnation
from swarm_ray import ray_instance
from swarm_ray.cache import cache_folder
from swarm_ray.config import SwarmConfig
from swarm_ray.errors import ActorFailure, NodeFailure, SwarmError
from swarm_ray.experiment_folder import ExperimentAddress
from swarm_ray.progress import SwarmProgress
from swarm_ray.settings import config_hash
from swarm_ray.versions import installed_versions

STOP_WITHIN_S = 8.0
ANSWER_WITHIN_S = 60.0


class Worker:
    """The actors of one experiment on this machine.

    Args:
        address: the experiment, which exists.
        config: its configuration, with this worker's local settings.
        nodes: ids of the nodes to host; may be empty for a coordinator alone.
        claimant: who coordinates here; None where another machine does.
        name: this worker's id.
        allowed_modules: modules with tasks that may be imported; None for those the configuration names.
        sharers: how many workers like this one share the machine at the same time.
    """

    def __init__(
        self,
        address: ExperimentAddress,
        config: SwarmConfig,
        nodes: Sequence[str],
        *,
        claimant: str | None,
        name: str,
        allowed_modules: tuple[str, ...] | None = None,
        sharers: int = 1,
    ) -> None:
        self.address, self.config, self.nodes = address, config, tuple(nodes)
        self.failure: Exception | None = None
        self.state = "starting"
        self.results: list[TrainerResult] = []
        self._claimant, self._name, self._sharers = claimant, name, sharers
        self._allowed_modules = allowed_modules
        self._spool = tempfile.TemporaryDirectory(prefix="swarm-ray-")
        self._actors: dict[str, Any] = {}
        self._runs: dict[Any, str] = {}
        self._starting: list[Any] = []
        self._started = 0.0
        self._progress = SwarmProgress(
            address.experiment, label(config), "starting", config.rounds, nodes=self.nodes
        )

    def start(self) -> None:
        """Start all actors; they build themselves while `watch` waits for them.

        Raises:
            ActorFailure: the coordinator or the logger could not be started.
        """
        config, address = self.config, self.address
        versions = installed_versions()
        self._started = time.monotonic()
        if self._claimant is not None:
            coordinator = self._spawn("coordinator", remote.CoordinatorActor, address, config, self._claimant)
            self._runs[coordinator.run.remote()] = "coordinator"
        if not self.nodes:
            return
        spool = Path(self._spool.name)
        logger = self._spawn("logger", remote.LoggerActor, address, config.log, spool, versions)
        discovery = self._spawn(
            "discovery",
            remote.DiscoveryActor,
            address,
            self._name,
            config.pace,
            config_hash(config),
            versions,
        )
        self._runs[discovery.run.remote()] = "discovery"
        for number, (settings, cpus, gpus) in enumerate(self._trainer_settings()):
            trainer = self._spawn(
                f"trainer-{number}", remote.TrainerActor, settings, logger, discovery, cpus=cpus, gpus=gpus
            )
            self._starting.append(trainer.ready.remote())
            self._runs[trainer.run.remote()] = f"trainer-{number}"

    def watch(self, timeout_s: float) -> bool:
        """Wait a little; True once everything has ended. A failure ends the run as failed, and is kept."""
        if not self._over():
            try:
                self._check_started()
                for call in ray_instance.finished(list(self._runs), timeout_s):
                    self._ended(self._runs.pop(call), call)
            except (SwarmError, StoreError) as error:
                self._fail(error)
        return self._over()

    def progress(self) -> SwarmProgress:
        """What the actors say now; what they said last while they are busy or gone."""
        known = self._progress
        try:
            if "coordinator" in self._actors and not self._over():
                known = self._of_coordinator(known, self._ask("coordinator", "status"))
            if "logger" in self._actors and not self._over():
                known = self._of_logger(known, self._ask("logger", "progress"))
        except ActorFailure as error:
            self._fail(error)
        state = self.state if self._over() or self.failure else known.state
        self._progress = replace(known, state=state, note=str(self.failure or known.note))
        return self._progress

    def stop(self, state: str = "stopped", note: str = "stopped on request") -> None:
        """End the experiment here: its state record says so, logs are written, every actor is ended.

        Harmless when repeated.
        """
        if self._over():
            self.close()
        else:
            self._finish(state, note)

    def _over(self) -> bool:
        return not self._runs or set(self._runs.values()) == {"discovery"}

    def _spawn(self, role: str, actor: Any, *arguments: Any, cpus: float = 0.0, gpus: float = 0.0) -> Any:
        root = hashlib.sha256(self.address.root.encode()).hexdigest()[:8]
        namespace = f"swarm-ray-{self.address.experiment}-{root}"
        handle = ray_instance.spawn(
            actor, f"{role}/{self._name}", namespace, *arguments, cpus=cpus, gpus=gpus
        )
        self._actors[role] = handle
        return handle

    def _trainer_settings(self) -> list[tuple[TrainerSettings, float, float]]:
        """Settings of each trainer with its exact share of CPUs and GPUs."""
        count = self._trainer_count()
        all_cpus, all_gpus = ray_instance.resources()
        shares = count * self._sharers
        cuda = self.config.policy.device != "cpu" and all_gpus > 0
        settings = []
        for number in range(count):
            hosted = self.nodes[number::count]
            settings.append(
                (
                    TrainerSettings(
                        self.address,
                        self.config,
                        hosted,
                        cache_folder(),
                        self._allowed_modules,
                        threads=max(1, int(all_cpus) // shares),
                        import_from=tuple(str(Path(folder).resolve()) for folder in sys.path),
                    ),
                    min(1.0, all_cpus / shares),
                    min(1.0, all_gpus / shares) if cuda else 0.0,
                )
            )
        return settings

    def _trainer_count(self) -> int:
        wanted = self.config.trainers
        return 1 if wanted == "auto" else min(wanted, len(self.nodes))

    def _check_started(self) -> None:
        """Raise when an actor has not come up in time, or could not be built."""
        if not self._starting:
            return
        for call in ray_instance.finished(self._starting, 0):
            self._starting.remove(call)
            ray_instance.result_of(call, ANSWER_WITHIN_S)
        if self._starting and time.monotonic() - self._started > ray_instance.STARTED_WITHIN_S:
            raise ray_instance.not_started()

    def _ended(self, role: str, call: Any) -> None:
        """An actor's work is over: keep its result, or raise what ended it."""
        try:
            result = ray_instance.result_of(call, ANSWER_WITHIN_S)
        except ActorFailure as error:
            raise ActorFailure(f"{role}: {error}") from error
        if role == "coordinator":
            self.state = str(result)
        elif isinstance(result, TrainerResult):
            self.results.append(result)
            self._check_nodes_left()
            if self._claimant is None:
                self.state = "stopped" if result.stopped else "finished"

    def _check_nodes_left(self) -> None:
        """Raise when every node here was given up: a coordinator would wait for others for ever."""
        problems = {n: p for result in self.results for n, p in result.problems.items()}
        if set(problems) == set(self.nodes):
            raise NodeFailure(f"every node failed; {min(problems)}: {problems[min(problems)]}")

    def _fail(self, error: Exception) -> None:
        self.failure = self.failure or error
        self._finish("failed", str(error))

    def _finish(self, state: str, note: str) -> None:
        """Tell everybody to stop, give them a moment, and end every process."""
        began = time.monotonic()
        farewells = [
            self._tell("coordinator", "stop", state, note),
            self._tell("discovery", "fail", note) if state == "failed" else None,
            *[self._tell(role, "stop") for role in self._actors if role.startswith("trainer")],
        ]
        waiting = [c for c in farewells if c is not None]
        waiting += [call for call, role in self._runs.items() if role != "discovery"]
        while waiting and time.monotonic() - began < STOP_WITHIN_S:
            for call in ray_instance.finished(waiting, 0.2):
                waiting.remove(call)
        self.state = state
        self.close()

    def close(self) -> None:
        """Write what the logger still holds, and end every actor's process; harmless when repeated."""
        flushed = self._tell("logger", "flush")
        if flushed is not None:
            ray_instance.finished([flushed], STOP_WITHIN_S)
        for handle in self._actors.values():
            ray_instance.kill(handle)
        self._actors, self._runs = {}, {}
        self._spool.cleanup()

    def _tell(self, role: str, method: str, *arguments: Any) -> Any:
        return getattr(self._actors[role], method).remote(*arguments) if role in self._actors else None

    def _ask(self, role: str, method: str) -> Any:
        return ray_instance.result_of(self._tell(role, method), ANSWER_WITHIN_S)

    def _of_coordinator(self, known: SwarmProgress, status: CoordinatorStatus) -> SwarmProgress:
        record = status.record
        note = record.note if record else ""
        if record and record.learned_nothing:
            note = f"no group of any node had an advantage for {alarm_streak(self.config)} rounds: nothing is learned"
        state = status.state
        if state == "waiting" and self.nodes and not status.registered:
            state = "starting"
            note = "loading the models" if self._starting else "measuring held-out pass@1 before round 0"
        return replace(
            known,
            state=state,
            rewards=status.rewards,
            nodes=status.registered or known.nodes,
            problems=status.problems,
            note=note,
        )

    def _of_logger(self, known: SwarmProgress, progress: Progress) -> SwarmProgress:
        """The logger's part; its nodes' rewards stand for the swarm's where another machine coordinates."""
        known = replace(known, seconds=progress.seconds, used=progress.used)
        if self._claimant is not None:
            return known
        waiting = "starting" if self._starting else "waiting"
        state = "running" if progress.rewards else waiting
        return replace(known, state=state, rewards=progress.rewards)


def alarm_streak(config: SwarmConfig) -> int:
    """Rounds without any advantage that raise the alarm; in a short run all of them."""
    return min(config.alarm_rounds, config.rounds)


def label(config: SwarmConfig) -> str:
    """`4 local / 4 external`."""
    return f"{config.local} local / {config.external} external"


def new_claimant() -> str:
    """A claimant for the state log: the coordinator's role and this process life."""
    return f"coordinator.{new_incarnation()}"
