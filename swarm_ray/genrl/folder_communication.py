"""A back end without Ray and without a coordinator, for GenRL's launchers and your own scripts."""

from __future__ import annotations

import platform
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Self

import msgspec

from drive_store import (
    RETRYABLE,
    Registry,
    Store,
    make_node_folders,
    new_incarnation,
    record_in,
)
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
from swarm_ray.genrl.communication import GameCommunication
from swarm_ray.genrl.gathering import DeadlineGathering
from swarm_ray.machine.cancellation import Cancellation
from swarm_ray.machine.local_disk import Lock, read_words
from swarm_ray.machine.versions import installed_versions
from swarm_ray.records.nodes import FINAL_PHASE, Beat, NodeTotals, Registration
from swarm_ray.records.state import Member

GAME = "genrl"
"""The game's name in an experiment that a launcher of one's own made: only its players know the game."""
MADE_WITHIN_S = 30.0
"""Time limit of another process that is creating the experiment."""


class FolderCommunication(GameCommunication):
    """GenRL's back end over a shared folder, without Ray and without a coordinator.

    The experiment is made if it is not there. The node registers, writes heartbeats from a thread of its own, and says
    goodbye at `close`. A stage is over when all live nodes have shared, or after `deadline_s`. A node that has played
    here before resumes after the last round that it finished: `step_` begins there.

    Args:
        root: the shared folder, a path or any fsspec URL.
        experiment: its name.
        node: our id, unique in the experiment.
        nodes: so many are waited for at the beginning, as long as for a stage.
        deadline_s: longest stage, in seconds; None takes the experiment's.

    Raises:
        UserError: an id is impossible, the node's id is taken on this machine, or the experiment does not play a game.
        StoreError: the folder cannot be used.
    """

    def __init__(
        self, root: str, experiment: str, node: str, nodes: int = 1, deadline_s: float | None = None
    ) -> None:
        super().__init__(node)
        require_name(node, "a node")
        address = ExperimentAddress(root, experiment)
        self._pace, config = _open(address, nodes, deadline_s)
        home = local_folder(address) / "nodes" / node
        self._lock = Lock(home / "lock", f"node {node}")
        self._me = (node, new_incarnation())
        former = read_words(home / "incarnations")
        with (home / "incarnations").open("a") as file:
            file.write(f"{self._me[1]}\n")
        folder = address.open()
        self.attach(DeadlineGathering(folder, Member(*self._me), self._pace, Cancellation()))
        self._registry, self._writing = Registry(folder), threading.Lock()
        beats = [record_in(self._registry.read_beat(node, life), Beat) for life in former]
        self.played = max((beat.round for beat in beats if beat), default=-1)
        """The last round that an earlier process of the node finished; -1 where there was none."""
        self._step = self.played + 1
        self._count, self._round, self._entered = 0, self.played, -1
        make_node_folders(folder, *self._me)
        self._register(config, former[-1] if former else "")
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name=f"beats of {node}", daemon=True)
        self._thread.start()

    def all_gather_object(self, obj: Any, *_args: Any, **_options: Any) -> dict[str, Any]:
        """See `GameCommunication.all_gather_object`; a heartbeat goes with the first stage of a round.

        Raises:
            UserError: an earlier life of the node has played the round: its files are there, and those of the others.
        """
        number = self.step_
        if self.stage_ == 0 and number <= self.played:
            raise UserError(
                f"{self.get_id()} has played rounds 0 to {self.played} of {self.gathering.experiment.name!r} before: "
                f"begin with step_ = {self.played + 1}, or take another experiment name"
            )
        self._entered = number
        if number - 1 > self._round:
            self._round = number - 1
            self._beat("playing")
        return super().all_gather_object(obj)

    def close(self) -> None:
        """Leave; harmless when repeated. The last round counts as played only where a `with` block ends."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._thread.join()
        self._beat(FINAL_PHASE, done=True)
        self._lock.release()

    def __enter__(self) -> Self:
        """It is open already."""
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Close; without an error the last round was played to its end."""
        if error is None:
            self._round = max(self._round, self._entered)
        self.close()

    def _register(self, config: str, before: str) -> None:
        """Announce this life of the node; the lock proves that those it had on this machine are over."""
        registration = Registration(
            *self._me,
            worker=platform.node() or "unknown",
            config_hash=config,
            versions=installed_versions(),
            started_at=datetime.now(UTC).isoformat(timespec="microseconds"),
            succeeds=before,
        )
        self._registry.register(*self._me, msgspec.json.encode(registration))
        self._beat("registered")

    def _beat_on(self) -> None:
        while not self._closed.wait(self._pace.beat_s):
            self._beat("playing")

    def _beat(self, phase: str, *, done: bool = False) -> None:
        """Write a heartbeat; one that does not reach the folder is followed by another."""
        with self._writing, suppress(*RETRYABLE):
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
            self._registry.write_beat(*self._me, self._count, msgspec.json.encode(beat))


def _open(address: ExperimentAddress, nodes: int, deadline_s: float | None) -> tuple[PaceConfig, str]:
    """The experiment's pace and the hash of its configuration; it is made where it is not there.

    Raises:
        UserError: the experiment there does not play a game, or never gets its identity.
    """
    longest = {} if deadline_s is None else {"max_s": deadline_s}
    asked = {"game": GAME, "nodes": nodes, "pace": {"expect": nodes, **longest}}
    if nodes == 1:
        asked["external"] = 0
    until, store = time.monotonic() + MADE_WITHIN_S, Store(address.root)
    while read_identity(store, address) is None:
        try:
            create_experiment(address, load_config(None, None, asked), claimant="coordinator")
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
    return config.pace.model_copy(update={"expect": nodes, **longest}), config_hash(config)
