"""Runs a sweep: ordinary experiments, as many at once as the machine has room for, on one shared Ray instance."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import psutil

from drive_store import StoreError
from swarm_ray.config.load import canonical_json
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import ExperimentExistsError, SwarmError
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.experiments.open import open_or_create
from swarm_ray.formatting import duration
from swarm_ray.machine import ray_actors
from swarm_ray.machine.ray_instance import RayInstance
from swarm_ray.observe.display import Display, choose_display
from swarm_ray.observe.snapshot import ExperimentSnapshot
from swarm_ray.policies.loading import choose_device, free_memory, preflight
from swarm_ray.runtime.handle import DONE, LEARNED_NOTHING, Running
from swarm_ray.runtime.worker import Worker, WorkerSettings
from swarm_ray.swarm import prepare_model
from swarm_ray.sweeps.plan import SweepRun
from swarm_ray.sweeps.results import Outcome, RunStatus, to_do

PROCESSES_BYTES = 1_500_000_000
"""Host memory reserved for one run's actors and its scoring process, beside their models: 0.75 GB were measured with
the embedded model on a CPU, and PyTorch with CUDA takes more."""


def fitting(
    runs: int,
    cpus: float,
    trainers: int,
    host_bytes: int,
    device_bytes: int | None,
    policies_bytes: int,
) -> int:
    """How many runs fit side by side, one at least.

    Args:
        runs: as many are asked for.
        cpus: cores that Ray has.
        trainers: of the largest run; each keeps a core busy.
        host_bytes: free memory of this machine.
        device_bytes: free memory of the device; None if policies are in host memory.
        policies_bytes: what one run's policies take, of the device's memory or else of the host's; 0 for the embedded
            model.
    """
    host = PROCESSES_BYTES + (policies_bytes if device_bytes is None else 0)
    fit = [runs, int(cpus // trainers), host_bytes // host]
    if device_bytes is not None and policies_bytes:
        fit.append(device_bytes // policies_bytes)
    return max(1, min(fit))


def runs_at_once(configs: Sequence[SwarmConfig]) -> int:
    """How many runs with these configurations fit at once; Ray is running.

    Raises:
        UserError: a device or model is not available, or a single run does not fit.
    """
    device = choose_device(configs[0].policy.device)
    return fitting(
        len(configs),
        cpus=sum(machine.cpus for machine in ray_actors.machines()),
        trainers=max(1 if c.trainers == "auto" else c.trainers for c in configs),
        host_bytes=int(psutil.virtual_memory().available),
        device_bytes=free_memory(device) if device.type != "cpu" else None,
        policies_bytes=max(
            0 if c.policy.is_tiny else preflight(c, c.nodes, choose_device(c.policy.device)).total(c.nodes)
            for c in configs
        ),
    )


LOOK_S = 0.25


class SweepWorker(Worker):
    """A worker on the sweep's Ray, which outlives the run and is restarted when it dies.

    Args:
        ray: shared by all runs of the sweep.
        address: the experiment, which exists.
        config: its configuration.
        sharers: how many runs share the machine.
    """

    def __init__(
        self, ray: RayInstance, address: ExperimentAddress, config: SwarmConfig, *, sharers: int
    ) -> None:
        settings = WorkerSettings(name="here", coordinates=True, sharers=sharers)
        super().__init__(address, config, node_ids(config), settings)
        self._shared = ray

    def start(self, ray: RayInstance | None = None) -> None:  # noqa: ARG002  (a run never starts Ray)
        """Start all actors on the sweep's Ray."""
        super().start(self._shared)


@dataclass
class Slot:
    """One running experiment."""

    run: SweepRun
    running: Running
    worker: Worker


class SweepRunner:
    """Runs the unfinished runs of a sweep.

    Args:
        root: the shared folder.
        found: all runs of the plan, with their status.
        parallel: how many run at once; `auto` is as many as the machine has room for.
        show: show progress.
    """

    def __init__(
        self,
        root: str,
        found: Sequence[RunStatus],
        *,
        parallel: int | Literal["auto"] = "auto",
        show: bool = True,
    ) -> None:
        self._root, self._parallel = root, parallel
        self._numbers = {status.run.experiment: n for n, status in enumerate(found, 1)}
        self._waiting = to_do(found)
        self._before = len(found) - len(self._waiting)
        self._ray, self._display = RayInstance(), choose_display(show=show)
        self._slots: list[Slot] = []
        self._outcome = Outcome()
        self._began, self._at_once = 0.0, 1

    def run(self) -> Outcome:
        """Run everything unfinished; a failed run does not stop the others.

        An interrupt stops the current runs cleanly, and the sweep can be resumed later.

        Raises:
            UserError: a model or task is not available, before any run has begun.
            ActorFailure: Ray does not start.
        """
        if not self._waiting:
            return self._outcome
        try:
            self._prepare()
            while self._waiting or self._slots:
                while self._waiting and len(self._slots) < self._at_once:
                    self._start(self._waiting.pop(0))
                self._look()
        except KeyboardInterrupt:
            self._outcome.interrupted = True
            self._display.step("interrupted: ending the runs that are under way")
        finally:
            for slot in self._slots:
                slot.running.stop()
            self._display.close()
            self._ray.close()
        return self._outcome

    def _prepare(self) -> None:
        """Make or check every model once, and start Ray meanwhile."""
        self._display.step("preparing the models")
        self._ray.begin()
        configs = [run.config for run in self._waiting]
        for config in distinct_models(configs):
            prepare_model(config, node_ids(config), None, self._display.step)
        self._ray.wait()
        self._at_once = (
            runs_at_once(configs) if self._parallel == "auto" else min(self._parallel, len(configs))
        )
        self._began = time.monotonic()

    def _start(self, run: SweepRun) -> None:
        """Start a run; if that is impossible, it counts as failed."""
        made: list[Worker] = []

        def prepare(_: Display, __: RayInstance) -> list[Worker]:
            address = ExperimentAddress(self._root, run.experiment)
            opened = open_or_create(address, run.config, overwrite=False)
            made.append(SweepWorker(self._ray, address, opened.config, sharers=self._at_once))
            return made

        running = Running(self._root, (run.experiment,), prepare, show=False)
        try:
            if self._ray.lost():
                self._ray.revive()
            running.start()
        except ExperimentExistsError:
            self._outcome.failed[run.experiment] = (
                f"its folder in {self._root} has no experiment.json, as when a command was killed while creating it; "
                "delete the folder, and give the same command again"
            )
        except (SwarmError, StoreError) as error:
            self._outcome.failed[run.experiment] = str(error)
        else:
            self._slots.append(Slot(run, running, made[0]))

    def _look(self) -> None:
        """Watch every run briefly, show them, and record ended ones."""
        if not self._slots:
            return
        over = [slot for slot in self._slots if slot.worker.watch(LOOK_S / len(self._slots))]
        self._display.show(self._lines())
        for slot in over:
            self._slots.remove(slot)
            self._end(slot)

    def _end(self, slot: Slot) -> None:
        """Close the run and record how it ended; an interrupt meanwhile applies to the sweep."""
        name, running = slot.run.experiment, slot.running
        try:
            running.stop()
            if running.exit_code in {DONE, LEARNED_NOTHING}:  # having learned nothing is a result too
                self._outcome.done.append(name)
            else:
                self._outcome.failed[name] = running.message
        except (SwarmError, StoreError) as error:
            self._outcome.failed[name] = str(error)

    def _lines(self) -> list[ExperimentSnapshot]:
        """A snapshot per run; the first also has the progress of the sweep."""
        names = [slot.run.experiment for slot in self._slots]
        labels = [f"{self._numbers[name]} of {len(self._numbers)}: {name}" for name in names]
        lines = [
            replace(slot.worker.progress(), label=label)
            for slot, label in zip(self._slots, labels, strict=True)
        ]
        notes = ("; ".join([*lines[0].notes[:1], self._far(lines)]),)
        return [replace(lines[0], notes=notes), *lines[1:]]

    def _far(self, progress: Sequence[ExperimentSnapshot]) -> str:
        """How many runs are finished, and about how long the rest will take."""
        done, failed = len(self._outcome.done), self._outcome.failed
        parts = [f"in all, {self._before + done} of {len(self._numbers)} runs are finished"]
        if failed:
            parts.append(f"{len(failed)} failed ({', '.join([*failed][:3])})")
        if done:  # a failed run may have failed at once, and says nothing about the rest
            under_way = sum(p.closed / (p.rounds + 1) for p in progress)
            left = len(self._waiting) + len(self._slots) - under_way
            pace = (time.monotonic() - self._began) / (done + under_way)
            parts.append(f"about {duration(pace * left)} left")
        return ", ".join(parts)


def node_ids(config: SwarmConfig) -> list[str]:
    """The nodes of a whole swarm, named as in `Swarm`."""
    return [f"node-{i}" for i in range(config.nodes)]


def distinct_models(configs: Sequence[SwarmConfig]) -> list[SwarmConfig]:
    """One configuration per distinct model; seeds and rounds do not matter."""
    kept: dict[tuple[bytes, int, str], SwarmConfig] = {}
    for config in configs:
        alike = config.model_copy(update={"seed": 0, "rounds": 1})
        if config.policy.is_tiny:
            alike = alike.model_copy(update={"local": 1, "external": 0, "grpo": type(config.grpo)()})
        kept.setdefault((canonical_json(alike), config.nodes, config.policy.device), config)
    return list(kept.values())
