"""How a trainer's rollouts travel: spools, the exchange on them, and what removes old files."""

from __future__ import annotations

from dataclasses import dataclass

from actors.trainer.restoring import Restored
from drive_store import ExperimentStore, Retention, Spool
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.exchange.direct.exchange import DirectValues
from swarm_ray.exchange.folder import FolderExchange
from swarm_ray.exchange.replay import StepReplay
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import Verifier


@dataclass(frozen=True)
class Exchanging:
    """What a trainer's nodes publish and gather with."""

    exchange: FolderExchange
    made: StepReplay
    retentions: list[tuple[str, Retention]]
    """Node ids with what removes the old files of each of their lives."""


def build_exchange(
    experiment: ExperimentStore,
    uid: str,
    config: SwarmConfig,
    state: StateFollower,
    restored: Restored,
    tasks: TaskSet,
    verifier: Verifier,
) -> Exchanging:
    """An exchange for the nodes of a trainer.

    Args:
        experiment: the experiment in the shared folder.
        uid: the experiment's, which no other has.
        config: the swarm.
        state: the swarm as the trainer sees it.
        restored: the nodes, their homes on this machine and their former lives.
        tasks: makes questions again.
        verifier: scores what the folder gives back.
    """
    pace = config.pace
    spools = {
        n.id: Spool(restored.homes[n.id].spool, experiment, n.id, n.incarnation, retry_s=pace.retry_s)
        for n in restored.nodes
    }
    made = StepReplay(experiment, state, spools, tasks, verifier)
    lives = {n.id: n.incarnation for n in restored.nodes}
    direct = DirectValues(
        experiment,
        uid,
        lives,
        staleness=pace.staleness,
        value_s=config.direct.value_s,
        again=pace.mode == "async",
    )
    retentions = [
        (node, Retention(experiment, node, life))
        for node, former in restored.former.items()
        for life in (*former, restored.homes[node].incarnation)
    ]
    return Exchanging(FolderExchange(experiment, state, pace, spools, made, direct), made, retentions)
