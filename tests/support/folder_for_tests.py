"""An experiment's folder with a state log that a test writes record by record."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from swarm_for_tests import small_config

from drive_store import (
    ExperimentStore,
    Publication,
    Registry,
    Spool,
    StateLogWriter,
    Store,
    make_node_folders,
    publish_round_file,
)
from swarm_ray.config.load import config_hash
from swarm_ray.config.schema import PaceConfig
from swarm_ray.exchange.direct import DirectValues
from swarm_ray.exchange.folder import FolderExchange
from swarm_ray.exchange.replay import StepReplay
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.experiments.folder import ExperimentAddress, create_experiment
from swarm_ray.machine.cancellation import Cancellation
from swarm_ray.records.nodes import Beat, NodeTotals, Registration
from swarm_ray.records.rollouts import Completion, QuestionRef, Rollout, RoundFile
from swarm_ray.records.state import FileRef, Member, StageClosed, StageOpen, StateRecord

QUICK = PaceConfig(poll_min_s=0.001, poll_max_s=0.01, settle_s=0.0, max_s=5.0)
CLAIMANT = "coordinator.0a0b0c0d"


def incarnation(node: str) -> str:
    """The incarnation that these tests give a node."""
    return f"{int(node.rpartition('-')[2]):08x}"


def round_file(step: int = 0, reward: float = 0.5, **fields: Any) -> RoundFile:
    """A file with one rollout of two completions."""
    completions = (Completion("7", 1.0, finished=True), Completion("8", 0.0, finished=True))
    made = RoundFile(step, (Rollout(QuestionRef("coin", 1, 0, "0" * 16), completions),), reward, 1, 4)
    return msgspec.structs.replace(made, **fields)


class Folder:
    """The folder of an experiment, whose name has a space above it."""

    def __init__(self, tmp_path: Path, experiment: str = "small", **changes: Any) -> None:
        self.root = tmp_path / "My Drive"
        self.config = small_config(**changes)
        self.address = ExperimentAddress(str(self.root), experiment)
        create_experiment(self.address, self.config, claimant=CLAIMANT)
        self.paths = self.address.paths
        self.experiment = self.address.open()
        self.store, self.registry = self.experiment.store, Registry(self.experiment)
        self.log = StateLogWriter(self.experiment, 1, CLAIMANT)

    def follow(self, pace: PaceConfig = QUICK, **options: Any) -> tuple[StateFollower, Store, Cancellation]:
        """A trainer's view of the log, with a store of its own that counts."""
        experiment, cancellation = self.address.open(), Cancellation()
        return StateFollower(experiment, pace, cancellation, **options), experiment.store, cancellation

    def exchange(
        self,
        nodes: Sequence[str] = (),
        pace: PaceConfig = QUICK,
        followed: tuple[StateFollower, Store, Cancellation] | None = None,
    ) -> tuple[FolderExchange, Store, dict[str, Spool]]:
        """A trainer's exchange for nodes without a policy."""
        state, store, _ = followed or self.follow(pace)
        spools = {n: self.spool(n, store, pace) for n in nodes}
        tasks: Any = None  # no step is taken up again here
        experiment = ExperimentStore(store, self.paths)
        made = StepReplay(experiment, state, spools, tasks, tasks)
        exchange = FolderExchange(experiment, state, pace, spools, made, self.direct(store, nodes))
        return exchange, store, spools

    def direct(self, store: Store, nodes: Sequence[str]) -> DirectValues:
        """What sees to receipts, without a link."""
        lives = {node: incarnation(node) for node in nodes}
        experiment = ExperimentStore(store, self.paths)
        return DirectValues(experiment, "0123456789abcdef", lives, staleness=4, value_s=1.0)

    def spool(self, node: str, store: Store, pace: PaceConfig = QUICK) -> Spool:
        """A node's spool, on a disk of its own."""
        folder, experiment = self.root.parent / "own disk" / node, ExperimentStore(store, self.paths)
        return Spool(folder, experiment, node, incarnation(node), retry_s=pace.retry_s)

    def join(self, node: str) -> Member:
        """Make a node's folders."""
        make_node_folders(self.experiment, node, incarnation(node))
        return Member(node, incarnation(node))

    def register(self, node: str, life: str = "", *, hashed: str = "", succeeds: str = "") -> None:
        """Announce a life of a node."""
        life, hashed = life or incarnation(node), hashed or config_hash(self.config)
        said = Registration(node, life, "worker", hashed, {}, "2026-08-01T12:00:00+00:00", succeeds=succeeds)
        self.registry.register(node, life, msgspec.json.encode(said))

    def beat(self, node: str, count: int, **said: Any) -> None:
        """Write a heartbeat of a node that trains, unless it says something else."""
        spoken = msgspec.structs.replace(Beat(count, 0, count, "training", NodeTotals()), **said)
        self.registry.write_beat(node, incarnation(node), count, msgspec.json.encode(spoken))

    def publish(
        self, node: str, number: int, payload: bytes | None = None, attempt: int = 0, stage: int = 0
    ) -> FileRef:
        """Publish a file through the store as a node does."""
        data = msgspec.msgpack.encode(round_file(step=number)) if payload is None else payload
        life = incarnation(node)
        said = {"round": number, "stage": stage, "payload": data, "attempt": attempt}
        made = publish_round_file(self.experiment, Publication(node=node, incarnation=life, **said))
        return FileRef(node, life, made.key, made.sha256, len(data))

    def append(self, state: str = "running", **said: Any) -> StateRecord:
        """Write the next state record."""
        record = msgspec.structs.replace(StateRecord(state, self.config.rounds, None, None, {}), **said)
        stage = record.opens or record.closed
        self.log.append(msgspec.json.encode(record), round=stage.round if stage else 0, stage=0)
        return record


def closed(number: int, accepted: tuple[FileRef, ...] = (), **said: Any) -> StageClosed:
    """How a round ended."""
    return msgspec.structs.replace(StageClosed.empty(number, 0), accepted=accepted, seconds=1.0, **said)


def opens(number: int, *nodes: str) -> StageOpen:
    """What opens a round."""
    return StageOpen(number, 0, tuple(Member(n, incarnation(n)) for n in nodes), 0.0, 60.0)
