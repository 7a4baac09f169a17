"""What carries a trainer's rollouts: the exchange through the folder, and the direct link beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from actors.trainer.reporter import TrainerReporter
from actors.trainer.restoring import Restored
from actors.trainer.settings import ReportSink, TrainerSettings
from drive_store import ExperimentStore, Spool, Store
from swarm_ray.config.schema import DirectConfig
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
        restored: the nodes, their folders on this machine and their former lives.
        tasks: makes questions again.
        verifier: scores what the folder gives back.
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
    """Nothing here fails a trainer: what goes wrong is told, and the folder carries all rollouts.

    Args:
        nodes: whom it serves.
        identity: file with the key of the first of them, under whose peer id the link is known.
        config: where to listen, whom to start with.
        experiment: whose nodes it looks for.
        book: who is to be found in the folder.
        direct: the exchange's part that uses the link.
        sink: announces where the link can be dialled.
        tell: takes what is to be known; the same line again, and an empty one, says nothing.
    """

    def __init__(
        self,
        nodes: Sequence[str],
        identity: Path,
        config: DirectConfig,
        experiment: str,
        book: PeerBook,
        direct: DirectValues,
        sink: ReportSink,
        tell: Callable[[str], None],
    ) -> None:
        self._nodes, self._direct, self._sink, self._tell = list(nodes), direct, sink, tell
        self._link = DhtLink(identity, config)
        self._meeting = PeerConnector(book, self._link, config, experiment)
        self._announced: LinkAnnouncement | None = None

    def start(self) -> None:
        """Start the link with whoever is to be found; one that does not start is tried again later."""
        try:
            self._meeting.start()
        except LinkError as error:
            self._tell(f"{error}; the folder carries all rollouts")
        self._direct.link = self._link
        self._announce()

    def keep(self) -> None:
        """Connect to those who have come, start again what has died, and say what is wrong; returns at once."""
        self._meeting.keep()
        self._announce()
        self._tell(self._direct.problem or self._meeting.problem)

    def close(self) -> None:
        """End the link; harmless when repeated."""
        self._direct.link = None
        self._meeting.close()

    def _announce(self) -> None:
        """Tell the folder where the link can be dialled, once for each change."""
        said = self._meeting.announcement
        if said != self._announced:
            self._announced = said
            self._sink.links(self._nodes, said.peer_id, said.multiaddrs, said.reach)


def make_direct_link(
    settings: TrainerSettings,
    restored: Restored,
    store: Store,
    direct: DirectValues,
    sink: ReportSink,
    reporter: TrainerReporter,
) -> DirectLink:
    """The direct link of a trainer's nodes, under the key of the first of them."""
    pace = settings.config.pace
    return DirectLink(
        settings.nodes,
        restored.folders[settings.nodes[0]].identity.file,
        settings.config.direct,
        settings.address.experiment,
        PeerBook(store, ttl_s=max(pace.dead_after_s, 3 * pace.beat_s)),
        direct,
        sink,
        lambda text: reporter.tell_once("direct", text),
    )
