"""The plain classes as Ray actors: the one place where they are wrapped.

Calls that must answer while a long one runs have a separate concurrency group. Ray restarts the logger and discovery,
whose handles the trainers hold, and repeats the calls in flight: their methods are idempotent. The driver restarts
trainers and the coordinator, since it knows why they died, and backs off first.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import ray
from ray.util.metrics import Gauge

from actors.coordinator.coordinator import Coordinator
from actors.discovery.discovery import Discovery
from actors.logger.logger import RunLogger
from actors.trainer.settings import TrainerResult, TrainerSettings
from swarm_ray.machine.ray_actors import result_of
from swarm_ray.records.metrics import Event, StepMetrics
from swarm_ray.records.nodes import Beat, NodeKey, Reachable, StoreUse
from swarm_ray.records.state import Member

if TYPE_CHECKING:
    from actors.trainer.game_trainer import GameTrainer
    from actors.trainer.trainer import Trainer

REPORT_WITHIN_S = 120.0
"""The logger and discovery answer within this time, or the trainer fails."""


def make_gauge(name: str, meaning: str, tags: tuple[str, ...]) -> Gauge:
    """A gauge that the metrics agent of this machine's Ray exports."""
    return Gauge(name, description=meaning, tag_keys=tags)


in_control: Callable[[Any], Any] = ray.method(concurrency_group="control")
"""Marks a method that answers while another runs."""
beating: Callable[[Any], Any] = ray.method(concurrency_group="beats")
"""Marks the method that sends heartbeats while others run."""


class Located:
    """An actor that says where it is."""

    @in_control
    def where(self) -> tuple[int, str]:
        """This process, and Ray's id of the machine it is on."""
        return os.getpid(), str(ray.get_runtime_context().get_node_id())


class CoordinatorShell(Located, Coordinator):
    """The coordinator as an actor."""

    status = in_control(Coordinator.status)
    control = in_control(Coordinator.control)
    stop = in_control(Coordinator.stop)


class TrainerShell(Located):
    """A trainer as an actor, or that of a game. Only its own process imports torch.

    Args:
        settings: what to train, and where.
        logger: handle of the logger.
        discovery: handle of discovery.
        game: packed by `ray_actors.pack`, since it may need modules that only `settings.import_from` shows; see
            `TrainerSettings.game`.
    """

    def __init__(self, settings: TrainerSettings, logger: Any, discovery: Any, game: bytes = b"") -> None:
        sys.path += [folder for folder in settings.import_from if folder not in sys.path]
        sink = ActorSink(logger, discovery)
        if game:
            from actors.trainer.game_trainer import GameTrainer

            settings = replace(settings, game=ray.cloudpickle.loads(game))
            self._trainer: Trainer | GameTrainer = GameTrainer(settings, sink)
            return
        from actors.trainer.trainer import Trainer

        self._trainer = Trainer(settings, sink)

    def run(self) -> TrainerResult:
        """See `Trainer.run`."""
        return self._trainer.run()

    @in_control
    def stop(self) -> None:
        """See `Trainer.stop`."""
        self._trainer.stop()


class DiscoveryShell(Located, Discovery):
    """Discovery as an actor."""

    run = beating(Discovery.run)
    folder_problem = in_control(Discovery.folder_problem)


class LoggerShell(Located, RunLogger):
    """The logger as an actor."""


class ActorSink:
    """Sends a trainer's reports to the actors without waiting, and raises their failures.

    Several threads of the trainer may use it.

    Args:
        logger: handle of the logger.
        discovery: handle of discovery.
    """

    def __init__(self, logger: Any, discovery: Any) -> None:
        self._logger, self._discovery = logger, discovery
        self._sent: list[Any] = []
        self._logger_use: StoreUse | None = None
        self._lock = threading.Lock()

    def register(self, nodes: list[Member], succeeds: dict[str, str], keys: dict[str, NodeKey]) -> None:
        """Announce nodes with the incarnations they continue and their keys, and open their logs."""
        result_of(self._discovery.register.remote(nodes, succeeds, keys), REPORT_WITHIN_S)
        result_of(self._logger.open_logs.remote(nodes), REPORT_WITHIN_S)

    def loading(self, former: list[Member]) -> None:
        """Send heartbeats for incarnations whose successors are loading."""
        self._send(self._discovery.loading.remote(former))

    def beat(self, beats: list[tuple[str, Beat]], *, published: bool) -> None:
        """Pass on progress."""
        self._send(self._discovery.report.remote(beats, published=published, logger=self._logger_use))

    def links(self, nodes: list[str], peer_id: str, multiaddrs: tuple[str, ...], reach: Reachable) -> None:
        """Announce how nodes are reached directly."""
        self._send(self._discovery.announce_links.remote(nodes, peer_id, multiaddrs, reach))

    def metrics(self, rows: list[StepMetrics]) -> None:
        """Pass on rows."""
        self._send(self._logger.log_metrics.remote(rows))

    def events(self, events: list[Event]) -> None:
        """Pass on events, if there are any."""
        if events:
            # The time is part of an event's identity, by which duplicates are recognised.
            at = datetime.now(UTC).isoformat(timespec="microseconds")
            stamped = [msgspec.structs.replace(event, at=event.at or at) for event in events]
            self._send(self._logger.log_events.remote(stamped))

    def flush(self) -> None:
        """Return when everything sent is in the folder."""
        with self._lock:
            sent, self._sent = self._sent, []
        for call in sent:
            result_of(call, REPORT_WITHIN_S)
        self._logger_use = result_of(self._logger.flush.remote(), REPORT_WITHIN_S)
        result_of(self._discovery.flush.remote(), REPORT_WITHIN_S)

    def _send(self, sent: Any) -> None:
        """Keep the call until it has ended; a failed one raises here, with the next report."""
        with self._lock:
            ended, self._sent = ray.wait([*self._sent, sent], num_returns=len(self._sent) + 1, timeout=0)
        for call in ended:
            answer = result_of(call, REPORT_WITHIN_S)
            if isinstance(answer, StoreUse):
                self._logger_use = answer


def _actor(kind: type, *, by_ray: bool, **groups: int) -> Any:
    """A Ray actor class; Ray's own annotations do not know concurrency groups.

    Args:
        kind: the shell.
        by_ray: restarted by Ray without limit, with the calls in flight.
        groups: threads of each concurrency group.
    """
    forever = {"max_restarts": -1, "max_task_retries": -1} if by_ray else {}
    options: dict[str, Any] = {"concurrency_groups": groups, **forever}
    return ray.remote(**options)(kind)


CoordinatorActor = _actor(CoordinatorShell, by_ray=False, control=1)
TrainerActor = _actor(TrainerShell, by_ray=False, control=1)
LoggerActor = _actor(LoggerShell, by_ray=True, control=1)
DiscoveryActor = _actor(DiscoveryShell, by_ray=True, beats=1, control=1)
