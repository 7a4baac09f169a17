"""What joins a game's node to the swarm: its files, the rounds that it waits for, its reporter and its checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from actors.store_meter import StoreMeter
from actors.trainer.checkpoints import TrainerCheckpoints
from actors.trainer.direct_link import DirectLink, make_direct_link
from actors.trainer.game_rounds import GameRounds
from actors.trainer.reporter import TrainerReporter
from actors.trainer.restoring import Restored
from actors.trainer.settings import ReportSink, TrainerSettings
from drive_store import ExperimentStore, Retention, Spool
from drive_store.published import NamedValues
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import UserError
from swarm_ray.exchange.direct.exchange import DirectValues
from swarm_ray.exchange.outbox import Outbox
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.experiments.folder import experiment_uid
from swarm_ray.experiments.local_state import local_folder
from swarm_ray.genrl.communication import GameCommunication, GameTransport
from swarm_ray.genrl.gathering import CoordinatedGathering, DeadlineGathering
from swarm_ray.genrl.peers import Peers
from swarm_ray.genrl.stage_files import Gathering, StageFiles
from swarm_ray.machine.cancellation import Cancellation
from swarm_ray.records.state import Member


@dataclass(frozen=True)
class JoinedGame:
    """What a game's trainer goes on with."""

    state: StateFollower
    published: Outbox
    reporter: TrainerReporter
    rounds: GameRounds
    checkpoints: TrainerCheckpoints
    link: DirectLink | None
    """Keeps the direct link up, where there is one."""


def join_game(
    settings: TrainerSettings,
    sink: ReportSink,
    restored: Restored,
    experiment: ExperimentStore,
    communication: GameCommunication,
    cancellation: Cancellation,
    meter: StoreMeter,
) -> JoinedGame:
    """Build what joins the one node to the swarm, each part on those before it, and have its payloads travel."""
    config, (node,) = settings.config, restored.nodes
    me = Member(node.id, node.incarnation)
    state = StateFollower(
        experiment, config.pace, cancellation, after=restored.state_ref, rounds=config.rounds
    )
    state.claim(restored.places)
    files, peers = (
        StageFiles(experiment, me),
        Peers(experiment, me.node, config.pace),
    )
    by_deadline = DeadlineGathering(files, peers, config.pace, cancellation)
    gathering: Gathering = by_deadline
    published: Outbox = Outbox(state, {})
    spool: Spool | None = None
    direct = _direct_values(settings, experiment, me)
    if settings.coordinated:
        folder = restored.folders[me.node].spool
        spool = Spool(folder, experiment, me.node, me.incarnation, retry_s=config.pace.retry_s)
        gathering = published = CoordinatedGathering(files, state, spool, config.stages, direct, by_deadline)
    communication.attach(
        GameTransport(experiment, gathering, NamedValues(experiment, me.node, me.incarnation))
    )
    reporter = TrainerReporter(sink, state, published, cancellation, meter)
    lives = (*restored.former[me.node], me.incarnation)
    checkpoints = TrainerCheckpoints(
        local_folder(settings.address) / "checkpoints",
        experiment,
        config,
        state,
        published,
        reporter,
        [(me.node, Retention(experiment, me.node, life)) for life in lives],
        restored.former,
    )
    rounds = GameRounds(node, restored.former[me.node], state, spool, files, peers, config, reporter)
    link = None
    if config.exchange == "hivemind":
        link = make_direct_link(settings, restored, experiment.store, direct, sink, reporter)
    return JoinedGame(state, published, reporter, rounds, checkpoints, link)


def _direct_values(settings: TrainerSettings, experiment: ExperimentStore, me: Member) -> DirectValues:
    """Payloads that go directly; one that comes after its stage is of no use in a game."""
    uid = experiment_uid(experiment.store, settings.address)
    lives, value_s = {me.node: me.incarnation}, settings.config.direct.value_s
    return DirectValues(experiment, uid, lives, staleness=0, value_s=value_s)


def learner_of(trainer: Any) -> Any:
    """What of a game's trainer has the model and the optimizer: our policy, or GenRL's trainer itself.

    Raises:
        UserError: neither is there.
    """
    learner = getattr(trainer, "policy", trainer)
    if not (hasattr(learner, "model") and hasattr(learner, "optimizer")):
        raise UserError(
            f"the game's trainer ({type(trainer).__name__}) has no policy, and no model and optimizer: nothing of what "
            "it learns could be kept. Give it these two attributes"
        )
    return learner


def describe_learner(trainer: Any, config: SwarmConfig) -> str:
    """What the figures of a game's node were made on."""
    parameters = sum(p.numel() for p in learner_of(trainer).model.parameters())
    return (
        f"{config.game}: {type(trainer).__name__}, {parameters:,} parameters, "
        f"{torch.get_num_threads()} thread(s), seed {config.seed}"
    )
