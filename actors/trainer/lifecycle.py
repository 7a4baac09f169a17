"""What every trainer does: claim its nodes, register them, drain, take a final checkpoint, and report its end."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch

from actors.store_meter import StoreMeter
from actors.trainer.checkpoints import TrainerCheckpoints, TrainerContext
from actors.trainer.reporter import TrainerReporter, beats_while_loading
from actors.trainer.restoring import Restored, claim_nodes
from actors.trainer.settings import ReportSink, TrainerResult, TrainerSettings
from drive_store import Spool, Store
from swarm_ray.discovery import PeerBook
from swarm_ray.errors import LinkError, StopRequested, Superseded
from swarm_ray.exchange.direct import DirectValues
from swarm_ray.exchange.folder import Outbox
from swarm_ray.exchange.hivemind.link import DhtLink
from swarm_ray.exchange.hivemind.peer_connector import LinkAnnouncement, PeerConnector
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.experiments.folder import experiment_uid, local_folder
from swarm_ray.machine.cancellation import Cancellation
from swarm_ray.models.push import HubPushes
from swarm_ray.records.state import ENDED, Member
from swarm_ray.sapo.node import Node

STOP_WITHIN_S = 5.0
"""Time limit of the final checkpoint of a trainer that was asked to stop."""


class NodeTrainer(ABC):
    """A trainer from its first heartbeat to its last; a subclass defines what it takes part in.

    A subclass restores `nodes` and calls `_follow`, `_connect` and `_keep_checkpoints` before `run`.

    Args:
        settings: what to train, and where.
        sink: where metrics, events and heartbeats go.
    """

    _restored: Restored
    _exchange: Outbox

    def __init__(self, settings: TrainerSettings, sink: ReportSink) -> None:
        torch.set_num_threads(settings.threads)
        self._settings, self._config, self._sink = settings, settings.config, sink
        self._cancellation = Cancellation()
        self._experiment = settings.address.open()
        self._store = self._experiment.store
        self._meter = StoreMeter(self._store)
        self._disk = local_folder(settings.address)
        self._taken = 0
        """Rounds of the swarm that the nodes took part in."""
        self._barren = 0
        """In a game, rounds in a row in which no own group had an advantage."""

    @property
    def nodes(self) -> list[Node]:
        """The nodes, as restored and as trained since."""
        return self._restored.nodes

    def run(self) -> TrainerResult:
        """Take part until nothing is left to do; always takes a final checkpoint.

        Raises:
            Superseded: another process continues one of the nodes.
            StoreError: this machine's disk is full.
        """
        try:
            return self._result(*self._live())
        finally:
            self._reporter.end()

    def stop(self) -> None:
        """Stop within the next token, pass or poll of the folder; harmless when repeated."""
        self._cancellation.cancel()

    @abstractmethod
    def _take_part(self) -> str:
        """Register the nodes and take part to the end; answers why it was stopped, empty if it was not."""

    def _claim(self) -> None:
        """Lock the nodes on this machine."""
        settings = self._settings
        self._restored = claim_nodes(settings.nodes, self._disk, self._experiment, settings.identities)

    def _loading(self) -> AbstractContextManager[None]:
        """Heartbeats of the incarnations that our nodes continue, until ours are announced."""
        former = [Member(node, life) for node, life in self._restored.succeeds.items()]
        return beats_while_loading(self._sink, former, self._config.pace.beat_s)

    def _follow(self, *, whole: bool = False) -> None:
        """Follow the state log from the oldest checkpoint on, or from its first record."""
        config, restored = self._config, self._restored
        self._state = StateFollower(
            self._experiment,
            config.pace,
            self._cancellation,
            after=restored.state_ref,
            whole=whole,
            rounds=config.rounds,
        )
        # A record that names another incarnation of ours ends this process.
        self._state.claimed = {n.id: frozenset((*restored.former[n.id], n.incarnation)) for n in self.nodes}

    def _spools(self) -> dict[str, Spool]:
        """For each node, where its files wait for answers."""
        folders, retry_s = self._restored.folders, self._config.pace.retry_s
        return {
            n.id: Spool(folders[n.id].spool, self._experiment, n.id, n.incarnation, retry_s=retry_s)
            for n in self.nodes
        }

    def _direct_values(self, *, staleness: int, again: bool = False) -> DirectValues:
        """What travels over direct links, beside the folder."""
        return DirectValues(
            self._experiment,
            experiment_uid(self._store, self._settings.address),
            {n.id: n.incarnation for n in self.nodes},
            staleness=staleness,
            value_s=self._config.direct.value_s,
            again=again,
        )

    def _connect(self, exchange: Outbox) -> None:
        """Report what the exchange does, and link the nodes directly where that is asked for."""
        self._exchange = exchange
        self._reporter = TrainerReporter(self._sink, self._state, exchange, self._cancellation, self._meter)
        self._context = TrainerContext(self._experiment, self._config, self._state, exchange, self._reporter)
        self._link: DirectLink | None = None
        if self._config.exchange == "hivemind":
            self._link = DirectLink(
                self._settings, self._restored, self._store, exchange.direct, self._sink, self._reporter
            )

    def _keep_checkpoints(self, pushes: HubPushes | None = None) -> None:
        """Set up checkpoints, and pushes to the Hub if there are any."""
        self._checkpoints = TrainerCheckpoints(
            self._disk / "checkpoints", self._context, self._restored, pushes
        )

    def _register(self) -> None:
        """Register the nodes, and announce how they are reached directly."""
        self._reporter.register(self._restored)
        if self._link is not None:
            self._link.start()
            self._state.idle_work.append(self._link.keep)

    def _live(self) -> tuple[str, list[str]]:
        """Take part, drain and close; answers why it was stopped, and what is not safe."""
        stopped, left, kept, within_s = "", list[str](), self.nodes, STOP_WITHIN_S
        try:
            stopped = self._take_part()
            if not stopped:
                self._reporter.published(self.nodes, alone=False, phase="draining")
                left += self._drain()
                within_s = self._config.pace.drain_s
        except StopRequested as reason:
            stopped = str(reason)
        except Superseded:
            kept = []  # ours must not overtake what another process continues
            raise
        finally:
            self._close()
            with self._reporter.busy("checkpointing"):
                left += self._checkpoints.close(kept, within_s)
        return stopped, left

    def _close(self) -> None:
        """End what needs no folder."""
        if self._link is not None:
            self._link.close()

    def _drain(self) -> list[str]:
        """Wait until published files are answered; returns a line for each node with unanswered files.

        Raises:
            StopRequested: the worker was asked to stop; remaining files stay in the spools for the next process.
        """
        state, exchange = self._state, self._exchange
        deadline = time.monotonic() + self._config.pace.drain_s
        while any(exchange.unanswered(node.id) for node in self.nodes) and time.monotonic() < deadline:
            ended = state.latest is not None and state.latest.state in ENDED
            if ended and not state.poll():
                break
            state.poll()
            exchange.retry()
            state.pause()
        return [
            f"{node}: rounds {', '.join(map(str, rounds))} were published and never answered"
            for node, rounds in exchange.give_up().items()
        ]

    def _give_up_idle(self, number: int) -> None:
        """Mark nodes that took part in no round of a finished experiment as failed."""
        for node in self.nodes:
            if not node.problem and node.step == 0:
                node.problem = "it took part in no round: its id is another worker's, or it came too late"
                self._reporter.failed(node, number)

    def _result(self, stopped: str, left: Sequence[str]) -> TrainerResult:
        for line in left:
            self._reporter.tell("left", line)
        self._reporter.final_heartbeat(self.nodes, done=not stopped)
        self._restored.release()
        problems = {node.id: node.problem for node in self.nodes if node.problem}
        learned_nothing = self._barren >= self._config.alarm_streak
        return TrainerResult(self._taken, problems, stopped, tuple(left), learned_nothing)


class DirectLink:
    """The link of a trainer's nodes, under the key of the first of them.

    Nothing here fails a trainer: what goes wrong is reported, and the folder carries all rollouts.

    Args:
        settings: of the trainer: its nodes and its experiment, where to listen and whom to dial first.
        restored: the nodes' folders on this machine, with their keys.
        store: the root, where peers are discovered.
        direct: the exchange's part that uses the link.
        sink: announces where the link can be dialled.
        reporter: reports problems, each once per change.
    """

    def __init__(
        self,
        settings: TrainerSettings,
        restored: Restored,
        store: Store,
        direct: DirectValues,
        sink: ReportSink,
        reporter: TrainerReporter,
    ) -> None:
        self._nodes, self._direct, self._sink, self._reporter = list(settings.nodes), direct, sink, reporter
        pace, config = settings.config.pace, settings.config.direct
        book = PeerBook(store, ttl_s=max(pace.dead_after_s, 3 * pace.beat_s))
        self._link = DhtLink(restored.folders[settings.nodes[0]].identity.file, config)
        self._connector = PeerConnector(book, self._link, config, settings.address.experiment)
        self._announced: LinkAnnouncement | None = None

    def start(self) -> None:
        """Start the link with the peers that can be found; one that does not start is tried again later."""
        try:
            self._connector.start()
        except LinkError as error:
            self._reporter.tell_once("direct", f"{error}; the folder carries all rollouts")
        self._direct.link = self._link
        self._announce()

    def keep(self) -> None:
        """Connect to new peers, restart a link that has died, and report problems; returns at once."""
        self._connector.keep()
        self._announce()
        self._reporter.tell_once("direct", self._direct.problem or self._connector.problem)

    def close(self) -> None:
        """End the link; harmless when repeated."""
        self._direct.link = None
        self._connector.close()

    def _announce(self) -> None:
        """Write to the folder where the link can be dialled, once per change."""
        found = self._connector.announcement
        if found != self._announced:
            self._announced = found
            self._sink.links(self._nodes, found.peer_id, found.multiaddrs, found.reach)
