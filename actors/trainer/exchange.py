"""How a trainer exchanges rollouts: through the folder, and over a direct link beside it."""

from __future__ import annotations

from actors.trainer.reporter import TrainerReporter
from actors.trainer.restoring import Restored
from actors.trainer.settings import ReportSink, TrainerSettings
from drive_store import ExperimentStore, Spool, Store
from swarm_ray.discovery.peer_book import PeerBook
from swarm_ray.errors import LinkError
from swarm_ray.exchange.direct.exchange import DirectValues
from swarm_ray.exchange.folder import FolderExchange
from swarm_ray.exchange.hivemind.link import DhtLink
from swarm_ray.exchange.hivemind.peer_connector import LinkAnnouncement, PeerConnector
from swarm_ray.exchange.replay import StepReplay
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.experiments.folder import experiment_uid
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import Verifier


def build_exchange(
    settings: TrainerSettings,
    experiment: ExperimentStore,
    state: StateFollower,
    restored: Restored,
    tasks: TaskSet,
    verifier: Verifier,
) -> FolderExchange:
    """An exchange for the nodes of a trainer.

    Args:
        settings: what the trainer is built from.
        experiment: the experiment in the shared folder.
        state: the swarm as the trainer sees it.
        restored: the nodes, their folders on this machine and former incarnations.
        tasks: recreates questions.
        verifier: scores rollouts from the folder.
    """
    config, pace = settings.config, settings.config.pace
    spools = {
        n.id: Spool(restored.folders[n.id].spool, experiment, n.id, n.incarnation, retry_s=pace.retry_s)
        for n in restored.nodes
    }
    made = StepReplay(experiment, state, spools, tasks, verifier)
    direct = DirectValues(
        experiment,
        experiment_uid(experiment.store, settings.address),
        {n.id: n.incarnation for n in restored.nodes},
        staleness=pace.staleness,
        value_s=config.direct.value_s,
        again=pace.mode == "async",
    )
    return FolderExchange(experiment, state, pace, spools, made, direct)


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
            self._tell(f"{error}; the folder carries all rollouts")
        self._direct.link = self._link
        self._announce()

    def keep(self) -> None:
        """Connect to new peers, restart a link that has died, and report problems; returns at once."""
        self._connector.keep()
        self._announce()
        self._tell(self._direct.problem or self._connector.problem)

    def close(self) -> None:
        """End the link; harmless when repeated."""
        self._direct.link = None
        self._connector.close()

    def _tell(self, problem: str) -> None:
        self._reporter.tell_once("direct", problem)

    def _announce(self) -> None:
        """Write to the folder where the link can be dialled, once per change."""
        found = self._connector.announcement
        if found != self._announced:
            self._announced = found
            self._sink.links(self._nodes, found.peer_id, found.multiaddrs, found.reach)
