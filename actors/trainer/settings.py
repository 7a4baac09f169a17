"""A trainer's settings, its result, and the sink of its reports: light, so that a driver does not load torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.records.metrics import Event, StepMetrics
from swarm_ray.records.nodes import Beat, NodeKey, Reachable
from swarm_ray.records.state import Member


class ReportSink(Protocol):
    """Takes a trainer's reports: the worker's logger and discovery."""

    def register(self, nodes: list[Member], succeeds: dict[str, str], keys: dict[str, NodeKey]) -> None:
        """Announce nodes with the incarnations they continue and their keys, and open their logs.

        Returns when it is done.
        """

    def loading(self, former: list[Member]) -> None:
        """Send heartbeats for former incarnations while their successors load; each call counts as progress."""

    def beat(self, beats: list[tuple[str, Beat]], *, published: bool) -> None:
        """Pass on progress."""

    def links(self, nodes: list[str], peer_id: str, multiaddrs: tuple[str, ...], reach: Reachable) -> None:
        """Announce how nodes are reached directly: the peer id of their link, its addresses, and from where."""

    def metrics(self, rows: list[StepMetrics]) -> None:
        """Pass on rows."""

    def events(self, events: list[Event]) -> None:
        """Pass on events."""

    def flush(self) -> None:
        """Return when everything passed on is in the folder."""


@dataclass(frozen=True)
class TrainerSettings:
    """What a trainer is built from."""

    address: ExperimentAddress
    config: SwarmConfig
    nodes: tuple[str, ...]
    cache: Path
    """Where starts of the embedded model are kept."""
    allowed_modules: tuple[str, ...] | None
    """Modules with tasks that this worker may import; None for those that the configuration names."""
    threads: int
    """CPU threads of torch."""
    import_from: tuple[str, ...] = ()
    """Folders in which modules with tasks are looked for: those where the driver found them."""
    identities: Path | None = None
    """The folder with the keys of named nodes; None for a swarm on one machine."""
    game: Any = None
    """Makes the manager of a GenRL game (`swarm_ray.games.ManagerFactory`); None trains by SAPO."""
    coordinated: bool = True
    """Whether a coordinator closes the stages of a game; else they close by deadline."""


@dataclass(frozen=True)
class TrainerResult:
    """How a trainer ended."""

    rounds: int
    """Rounds that its nodes took part in."""
    problems: dict[str, str]
    """Nodes that were given up, and why."""
    stopped: str = ""
    """Why it stopped before the experiment's last round; empty if it did not."""
    left: tuple[str, ...] = ()
    """What did not reach the shared folder: unanswered files, checkpoints that wait."""
    learned_nothing: bool = False
    """In a game: no own group had an advantage in the node's last rounds (`SwarmConfig.alarm_streak`)."""
