"""The plain classes as Ray actors: the one place where they are wrapped.

Calls that must answer while a long one runs have a concurrency group of their own. No restarts: a dead actor ends
the run as failed, with its cause.
"""

from __future__ import annotations

import sys
from typing import Any

import ray

from actors.coordinator import Coordinator, CoordinatorStatus
from actors.discovery import Discovery
from actors.logger import RunLogger
from actors.trainer_settings import TrainerResult, TrainerSettings
from swarm_ray.ray_instance import result_of
from swarm_ray.records import Beat, Evaluation, Event, Member, StepMetrics

REPORT_WITHIN_S = 120.0
"""The logger and discovery answer within this time, or the trainer fails."""


class CoordinatorShell(Coordinator):
    """The coordinator as an actor."""

    @ray.method(concurrency_group="control")
    def status(self) -> CoordinatorStatus:  # type: ignore[override]
        """See `Coordinator.status`."""
        return super().status()

    @ray.method(concurrency_group="control")
    def stop(self, state: str, note: str) -> None:  # type: ignore[override]
        """See `Coordinator.stop`."""
        super().stop(state, note)


class TrainerShell:
    """A trainer as an actor. Only its own process imports torch."""

    def __init__(self, settings: TrainerSettings, logger: Any, discovery: Any) -> None:
        sys.path += [folder for folder in settings.import_from if folder not in sys.path]
        from actors.trainer import Trainer

        self._trainer = Trainer(settings, ActorReporter(logger, discovery))

    def run(self) -> TrainerResult:
        """See `Trainer.run`."""
        return self._trainer.run()

    @ray.method(concurrency_group="control")
    def ready(self) -> list[str]:
        """Ids of the nodes, once they are loaded."""
        return [n.id for n in self._trainer.nodes]

    @ray.method(concurrency_group="control")
    def stop(self) -> None:
        """See `Trainer.stop`."""
        self._trainer.stop()


class DiscoveryShell(Discovery):
    """Discovery as an actor."""

    @ray.method(concurrency_group="beats")
    def run(self) -> None:  # type: ignore[override]
        """See `Discovery.run`."""
        super().run()


class ActorReporter:
    """Sends a trainer's news to the actors without waiting, and raises what went wrong there.

    Args:
        logger: handle of the logger.
        discovery: handle of discovery.
    """

    def __init__(self, logger: Any, discovery: Any) -> None:
        self._logger, self._discovery = logger, discovery
        self._sent: list[Any] = []

    def register(self, nodes: list[Member]) -> None:
        """Announce nodes and open their logs."""
        result_of(self._discovery.register.remote(nodes), REPORT_WITHIN_S)
        result_of(self._logger.open_logs.remote(nodes), REPORT_WITHIN_S)

    def beat(self, beats: list[tuple[str, Beat]], *, published: bool) -> None:
        """Pass on progress."""
        self._send(self._discovery.report.remote(beats, published=published))

    def metrics(self, rows: list[StepMetrics]) -> None:
        """Pass on rows."""
        self._send(self._logger.log_metrics.remote(rows))

    def events(self, events: list[Event]) -> None:
        """Pass on events, if there are any."""
        if events:
            self._send(self._logger.log_events.remote(events))

    def evaluations(self, evaluations: list[Evaluation]) -> None:
        """Pass on held-out results."""
        self._send(self._logger.log_evaluations.remote(evaluations))

    def flush(self) -> None:
        """Return when all that was sent is in the folder."""
        for sent in self._sent:
            result_of(sent, REPORT_WITHIN_S)
        self._sent = []
        result_of(self._logger.flush.remote(), REPORT_WITHIN_S)

    def _send(self, sent: Any) -> None:
        """Keep the call until it has ended; a failed one raises here, with the next news."""
        ended, waiting = ray.wait([*self._sent, sent], num_returns=len(self._sent) + 1, timeout=0)
        for call in ended:
            result_of(call, REPORT_WITHIN_S)
        self._sent = waiting


def _actor(kind: type, **groups: int) -> Any:
    """A Ray actor class; Ray's own annotations do not know concurrency groups."""
    options: dict[str, Any] = {"max_restarts": 0, "concurrency_groups": groups}
    return ray.remote(**options)(kind)


CoordinatorActor = _actor(CoordinatorShell, control=1)
TrainerActor = _actor(TrainerShell, control=1)
LoggerActor = _actor(RunLogger)
DiscoveryActor = _actor(DiscoveryShell, beats=1)
