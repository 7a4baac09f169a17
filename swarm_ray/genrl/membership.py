"""A node's place in an experiment without Ray and without a coordinator: what `FolderCommunication` stands on."""

from __future__ import annotations

import platform
import threading
import time
from datetime import UTC, datetime

import msgspec

from drive_store import (
    RETRYABLE,
    Registry,
    Store,
    make_node_folders,
    new_incarnation,
    record_in,
)
from drive_store.published import NamedValues
from swarm_ray.config.load import config_hash, load_config
from swarm_ray.config.schema import PaceConfig
from swarm_ray.errors import ExperimentExistsError, UserError
from swarm_ray.experiments.folder import (
    ExperimentAddress,
    create_experiment,
    local_folder,
    read_config,
    read_identity,
    require_name,
)
from swarm_ray.genrl.gathering import DeadlineGathering
from swarm_ray.genrl.peers import Peers
from swarm_ray.genrl.stage_files import StageFiles
from swarm_ray.machine.cancellation import Cancellation
from swarm_ray.machine.local_disk import Lock, read_words
from swarm_ray.machine.versions import installed_versions
from swarm_ray.records.nodes import FINAL_PHASE, Beat, NodeTotals, Registration
from swarm_ray.records.state import Member

GAME = "genrl"
"""The game's name in an experiment that a launcher of one's own made: only its players know the game."""
MADE_WITHIN_S = 30.0
"""Time limit of another process that is creating the experiment."""
_CREATOR = "coordinator"


class Membership:
    """Registers a node, writes its heartbeats from a thread, and leaves.

    Args:
        root: the shared folder.
        experiment: its name; it is made if it is not there.
        node: our id.
        nodes: so many are waited for at the beginning.
        deadline_s: longest stage, in seconds; None takes the experiment's.

    Raises:
        UserError: an id is impossible, or the experiment does not play a game.
        NodeTakenError: another process of this machine plays as this node.
        StoreError: the folder cannot be used.
    """

    def __init__(self, root: str, experiment: str, node: str, nodes: int, deadline_s: float | None) -> None:
        require_name(node, "a node")
        address = ExperimentAddress(root, experiment)
        pace, self._config_hash = _open(address, nodes, deadline_s)
        self.experiment = address.open()
        home = local_folder(address) / "nodes" / node
        self._lock = Lock(home / "lock", f"node {node}")
        former = read_words(home / "incarnations")
        self.me = Member(node, new_incarnation())
        with (home / "incarnations").open("a") as file:
            file.write(f"{self.me.incarnation}\n")
        self.values = NamedValues(self.experiment, *_pair(self.me))
        self._pace, self._registry = pace, Registry(self.experiment)
        files, peers = (
            StageFiles(self.experiment, self.me),
            Peers(self.experiment, node, pace),
        )
        self.gathering = DeadlineGathering(files, peers, pace, Cancellation())
        self._writing = threading.Lock()
        self.played = max((self._played_by(life) for life in former), default=-1)
        """The last round that earlier lives of the node on this machine finished; -1 where there was none."""
        self._count, self._round, self._entered = 0, self.played, -1
        self._register(former)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name=f"beats of {node}", daemon=True)
        self._thread.start()

    def enters(self, number: int) -> None:
        """Say that the round before `number` is over.

        Raises:
            UserError: an earlier life of the node played the round: its files are there, and those of the others.
        """
        if number <= self.played:
            raise UserError(
                f"{self.me.node} has played rounds 0 to {self.played} of {self.experiment.name!r} before: begin with "
                f"step_ = {self.played + 1}, or take another experiment name"
            )
        self._entered = number
        if number - 1 > self._round:
            self._round = number - 1
            self._beat("playing")

    def leaves(self) -> None:
        """Say that the round that was entered last is over, too."""
        self._round = max(self._round, self._entered)

    def close(self) -> None:
        """Leave, and release the node; harmless when repeated."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._thread.join()
        self._beat(FINAL_PHASE, done=True)
        self._lock.release()

    def _played_by(self, incarnation: str) -> int:
        """The last round that an earlier life finished, by its last heartbeat; -1 without one."""
        beat = record_in(self._registry.read_beat(self.me.node, incarnation), Beat)
        return beat.round if beat is not None else -1

    def _register(self, before: tuple[str, ...]) -> None:
        """Announce this life of the node; the lock proves that those it had on this machine are over."""
        registration = Registration(
            node=self.me.node,
            incarnation=self.me.incarnation,
            worker=platform.node() or "unknown",
            config_hash=self._config_hash,
            versions=installed_versions(),
            started_at=datetime.now(UTC).isoformat(timespec="microseconds"),
            succeeds=before[-1] if before else "",
        )
        make_node_folders(self.experiment, *_pair(self.me))
        self._registry.register(*_pair(self.me), msgspec.json.encode(registration))
        self._beat("registered")

    def _beat_on(self) -> None:
        while not self._closed.wait(self._pace.beat_s):
            self._beat("playing")

    def _beat(self, phase: str, *, done: bool = False) -> None:
        """Write a heartbeat; one that does not reach the folder is followed by another."""
        with self._writing:
            self._count += 1
            # Nobody outside knows the progress of a game of one's own: a beat says only that the process is alive.
            beat = Beat(
                self._count,
                self._round,
                self._round + 1,
                phase,
                NodeTotals(),
                done=done,
                progress=self._count,
            )
            try:
                self._registry.write_beat(*_pair(self.me), self._count, msgspec.json.encode(beat))
            except RETRYABLE:
                return


def _pair(member: Member) -> tuple[str, str]:
    return member.node, member.incarnation


def _open(address: ExperimentAddress, nodes: int, deadline_s: float | None) -> tuple[PaceConfig, str]:
    """The experiment's pace and the hash of its configuration; it is made where it is not there.

    Raises:
        UserError: the experiment there does not play a game, or never gets its identity.
    """
    until, store = time.monotonic() + MADE_WITHIN_S, Store(address.root)
    while read_identity(store, address) is None:
        try:
            _make(address, nodes, deadline_s)
        except ExperimentExistsError:  # another node has begun to make it
            if time.monotonic() > until:
                raise UserError(
                    f"{store.root}/{address.paths.folder} holds no experiment.json; move it away or take another name"
                ) from None
            time.sleep(0.05)
    config = read_config(store, address)
    if not config.game:
        raise UserError(
            f"experiment {address.experiment!r} in {address.root} does not play a game: its nodes train by SAPO; take "
            "another name"
        )
    pace = config.pace.model_copy(update={"expect": nodes})
    if deadline_s is not None:
        pace = pace.model_copy(update={"max_s": deadline_s})
    return pace, config_hash(config)


def _make(address: ExperimentAddress, nodes: int, deadline_s: float | None) -> None:
    asked: dict[str, object] = {"game": GAME, "nodes": nodes, "pace.expect": nodes}
    if nodes == 1:
        asked["external"] = 0
    if deadline_s is not None:
        asked["pace.max_s"] = deadline_s
    create_experiment(address, load_config(None, None, asked), claimant=_CREATOR)
