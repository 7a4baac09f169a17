"""A whole swarm in one process without Ray: the plain classes, joined by direct calls and a folder."""

import itertools
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from swarm_for_tests import rules_of

from actors.coordinator.coordinator import Coordinator
from actors.discovery.discovery import Discovery
from actors.logger.logger import RunLogger
from actors.trainer.settings import TrainerResult, TrainerSettings
from actors.trainer.trainer import Trainer
from drive_store import ExperimentStore, Operations, Store
from swarm_ray.config.load import config_hash
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.experiments.folder import ExperimentAddress, create_experiment
from swarm_ray.machine.local_disk import cache_folder
from swarm_ray.records.metrics import Event, StepMetrics
from swarm_ray.records.nodes import Beat, NodeKey, Reachable, StoreUse
from swarm_ray.records.state import Member

CLAIMANT = "coordinator.0a0b0c0d"
WITHIN_S = 120.0


@dataclass(frozen=True)
class WatchedAddress(ExperimentAddress):
    """An address that keeps the stores it opened, so that their operations can be counted."""

    stores: list[Store] = field(default_factory=list, compare=False)

    def open(self) -> ExperimentStore:
        experiment = super().open()
        self.stores.append(experiment.store)
        return experiment

    @property
    def operations(self) -> Operations:
        """Of the one store that was opened."""
        (store,) = self.stores
        return store.operations


def until(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class CoordinatorKilled(BaseException):
    """Ends a coordinator's thread where SIGKILL would end its process."""


class Killed(BaseException):
    """Ends a trainer's thread where SIGKILL would end its process."""


def kill_at(
    trainer: Trainer, owner: Any, method: str, count: int, before: Callable[[], None] = lambda: None
) -> None:
    """Let the trainer's thread die at the `count`-th call of a method, with nothing written after it."""
    real, calls = getattr(owner, method), itertools.count(1)

    def dying(*arguments: Any, **named: Any) -> Any:
        if next(calls) == count:
            before()
            write_nothing_more(trainer)
            raise Killed
        return real(*arguments, **named)

    setattr(owner, method, dying)


def write_nothing_more(trainer: Any) -> None:
    """Let a trainer end without its last checkpoint and heartbeat."""
    trainer._checkpoints.close = lambda *_: []
    trainer._reporter.final_heartbeat = lambda *_, **__: None


def release(trainer: Trainer) -> None:
    """The system gives back what a dead process held, and no thread of it writes on."""
    checkpointer = trainer._checkpoints._checkpointer
    checkpointer.close()
    until(lambda: checkpointer._thread.idle and checkpointer._uploads.thread.idle)
    trainer._restored.release()


class DirectSink:
    """A trainer's news, passed on by plain calls."""

    def __init__(self, logger: RunLogger, discovery: Discovery) -> None:
        self._logger, self._discovery = logger, discovery
        self._logger_use: StoreUse | None = None

    def register(
        self, nodes: list[Member], succeeds: dict[str, str], keys: dict[str, NodeKey] | None = None
    ) -> None:
        self._discovery.register(nodes, succeeds, keys)
        self._logger.open_logs(nodes)

    def loading(self, former: list[Member]) -> None:
        self._discovery.loading(former)

    def beat(self, beats: list[tuple[str, Beat]], *, published: bool) -> None:
        self._discovery.report(beats, published=published, logger=self._logger_use)

    def links(self, nodes: list[str], peer_id: str, multiaddrs: tuple[str, ...], reach: Reachable) -> None:
        self._discovery.announce_links(nodes, peer_id, multiaddrs, reach)

    def metrics(self, rows: list[StepMetrics]) -> None:
        self._logger_use = self._logger.log_metrics(rows)

    def events(self, events: list[Event]) -> None:
        self._logger.log_events(events)

    def flush(self) -> None:
        self._logger_use = self._logger.flush()


class OneProcessSwarm:
    """A coordinator, and trainers with these nodes each, in threads.

    Args:
        root: the shared folder.
        config: the swarm.
        hosted: node ids, a sequence for each trainer.
        experiment: its name.
    """

    def __init__(
        self, root: Path, config: SwarmConfig, hosted: Sequence[Sequence[str]], experiment: str = "small"
    ) -> None:
        self.root, self.config, self.experiment = root, config, experiment
        self.address = ExperimentAddress(str(root), experiment)
        create_experiment(self.address, config, claimant=CLAIMANT)
        self.coordinating, self.discovering, self.logging = self._watched(), self._watched(), self._watched()
        self.coordinator = Coordinator(self.coordinating, rules_of(config))
        self._spool = root.parent / f"spool of {experiment}"
        self.logger = RunLogger(self.logging, config.log, self._spool, {})
        self.training = [self._watched() for _ in hosted]
        self._build(self.training, hosted)

    def __enter__(self) -> Self:
        """Start every part."""
        self._beats = self._pool.submit(self.discovery.run)
        self._ends: list[Future[TrainerResult]] = [self._pool.submit(t.run) for t in self.trainers]
        self._end = self._pool.submit(self.coordinator.run)
        return self

    def __exit__(self, *_: object) -> None:
        """End what still runs, so that no thread outlives a test that failed."""
        self.coordinator.stop("stopped", "the test has ended")
        self.discovery.stop()
        for trainer in self.trainers:
            trainer.stop()
        self._pool.shutdown(wait=True)

    def results(self, within_s: float = WITHIN_S) -> list[TrainerResult]:
        """Wait for the trainers, and answer what they say; what any part raises is raised here."""
        done, _ = wait(self._ends, within_s, FIRST_EXCEPTION)
        for ended in done:
            ended.result(0)
        return [end.result(within_s) for end in self._ends]

    def finish(self) -> list[TrainerResult]:
        """Wait for the end that a swarm should have, and answer what its trainers say."""
        results = self.results()
        assert self.state() == "finished"
        return results

    def again(self) -> Self:
        """Every part anew, as a second start of the command builds them."""
        hosted = [trainer._settings.nodes for trainer in self.trainers]
        self.coordinator = Coordinator(self._watched(), rules_of(self.config))
        shutil.rmtree(self._spool)
        self.discovering = self._watched()
        self._build([self._watched() for _ in hosted], hosted)
        return self

    def _build(self, training: Sequence[ExperimentAddress], hosted: Sequence[Sequence[str]]) -> None:
        hashed = config_hash(self.config)
        self.discovery = Discovery(self.discovering, "here", self.config.pace, hashed, {}, self._spool)
        self._reporter = DirectSink(self.logger, self.discovery)
        both = zip(training, hosted, strict=True)
        self.trainers = [self.trainer(address, nodes, self._reporter) for address, nodes in both]
        self._pool = ThreadPoolExecutor(len(hosted) + 2)

    def kill_coordinator(self) -> None:
        """Let the coordinator's thread die in its next tick, with nothing written after it."""

        def dying(_now: float) -> bool:
            raise CoordinatorKilled

        self.coordinator.tick = dying  # type: ignore[method-assign]
        assert isinstance(self._end.exception(WITHIN_S), CoordinatorKilled)
        self.coordinator.close()

    def succeed_coordinator(self) -> None:
        """Another one, on the same machine."""
        self.coordinator = Coordinator(self._watched(), rules_of(self.config))
        self._end = self._pool.submit(self.coordinator.run)

    def restart(self, number: int) -> TrainerResult:
        """Build a trainer anew, as Ray does with one that died, and run it to its end."""
        nodes = self.trainers[number]._settings.nodes
        self.trainers[number] = self.trainer(self._watched(), nodes, self._reporter)
        return self.trainers[number].run()

    def state(self, within_s: float = WITHIN_S) -> str:
        """Wait for the coordinator, and answer its last state."""
        return self._end.result(within_s)

    def trainer(self, address: ExperimentAddress, nodes: Sequence[str], reporter: DirectSink) -> Trainer:
        """A trainer of `nodes`."""
        settings = TrainerSettings(address, self.config, tuple(nodes), cache_folder(), None, threads=1)
        return Trainer(settings, reporter)

    def other_worker(self, nodes: Sequence[str]) -> Trainer:
        """A trainer of another worker, with a logger and a discovery of its own."""
        logger = RunLogger(self.address, self.config.log, self.root.parent / "another spool", {})
        pace, hashed = self.config.pace, config_hash(self.config)
        discovery = Discovery(self.address, "elsewhere", pace, hashed, {})
        return self.trainer(self.address, nodes, DirectSink(logger, discovery))

    def _watched(self) -> WatchedAddress:
        return WatchedAddress(self.address.root, self.address.experiment)
