"""How a trainer's rollouts travel: spools, the exchange on them, and what removes old files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from actors.trainer.restoring import Restored
from actors.trainer.settings import TrainerSettings
from drive_store import ExperimentStore, Retention, Spool
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.exchange.direct.exchange import DirectValues
from swarm_ray.exchange.folder import FolderExchange
from swarm_ray.exchange.outbox import Outbox
from swarm_ray.exchange.replay import StepReplay
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.policies.loading import load_policies
from swarm_ray.policies.policy import Policy
from swarm_ray.policies.tiny.loading import TinyStart
from swarm_ray.policies.tiny.starts import start_index
from swarm_ray.records.state import ENDED
from swarm_ray.sapo.node import Node
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import Verifier


@dataclass(frozen=True)
class TrainerExchange:
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
) -> TrainerExchange:
    """An exchange for the nodes of a trainer.

    Args:
        experiment: the experiment in the shared folder.
        uid: the experiment's, which no other has.
        config: the swarm.
        state: the swarm as the trainer sees it.
        restored: the nodes, their folders on this machine and their former lives.
        tasks: makes questions again.
        verifier: scores what the folder gives back.
    """
    pace = config.pace
    spools = {
        n.id: Spool(restored.folders[n.id].spool, experiment, n.id, n.incarnation, retry_s=pace.retry_s)
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
        for life in (*former, restored.folders[node].incarnation)
    ]
    return TrainerExchange(FolderExchange(experiment, state, pace, spools, made, direct), made, retentions)


def first_policies(settings: TrainerSettings, tasks: TaskSet, verifier: Verifier) -> list[Policy]:
    """A policy for each node: the embedded model's start, or copies of a Hugging Face model.

    Raises:
        ModelError: the model cannot be loaded, or does not fit so often.
    """
    config = settings.config
    if not config.policy.is_tiny:
        return load_policies(config, len(settings.nodes))
    start = TinyStart(config, tasks, verifier, settings.cache, lambda *_: None)
    return [start.policy(start_index(node)) for node in settings.nodes]


def describe_policy(policy: Policy, config: SwarmConfig) -> str:
    """What a figure of a node with this policy was made on."""
    name = torch.cuda.get_device_name(policy.device) if policy.device.type == "cuda" else "cpu"
    parameters = sum(p.numel() for p in policy.model.parameters())
    return (
        f"{config.policy.model}, {parameters:,} parameters on {name}, {config.policy.dtype}, "
        f"{policy.layout.value} rows, {torch.get_num_threads()} thread(s), seed {config.seed}"
    )


def drain_spools(nodes: Sequence[Node], state: StateFollower, exchange: Outbox, within_s: float) -> list[str]:
    """Wait for the answers to what was published; answers a line for each node that has files without one.

    Raises:
        StopRequested: the worker was told to stop; what is left stays in the spools for the next process.
    """
    deadline = time.monotonic() + within_s
    while any(exchange.unanswered(node.id) for node in nodes) and time.monotonic() < deadline:
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
