"""Checkpoints beside the rounds: the trainer waits for a copy in memory, and a thread does the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from drive_store import ExperimentStore, StoreError
from drive_store.checkpoints.local import Content, LocalCheckpoint, LocalCheckpoints
from drive_store.checkpoints.manifest import FileName
from swarm_ray.checkpointing.background import Background, Problems, Report
from swarm_ray.checkpointing.node_state import NodeState
from swarm_ray.checkpointing.restore import node_checkpoints
from swarm_ray.checkpointing.uploads import Saved, Uploads
from swarm_ray.config.schema import CheckpointConfig
from swarm_ray.errors import CheckpointError
from swarm_ray.policies.state import PolicySnapshot, save_tensors, snapshot
from swarm_ray.sapo.node import Node

MakeState = Callable[[Node], NodeState]
"""What to keep of a node, asked for on the trainer's own thread.

Its rows are those since the last checkpoint that `on_written` told, so that none is lost with one that failed.
"""
LOCAL = "writing of checkpoints to this machine's own disk"
REMOVAL = "removal of old checkpoints from this machine's own disk"
SHARE = 0.02
"""Of the trainer's time that checkpoints may cost under `checkpoint.every=auto`."""
_REUSED = 1 << 28
"""Bytes of a snapshot whose memory is held for the next; a larger one gives it back."""


class CheckpointPace:
    """Decides after each round, for all nodes of a trainer together.

    Args:
        every: rounds between two checkpoints, or "auto".
        clock: seconds that never go back.
    """

    def __init__(self, every: int | Literal["auto"], clock: Callable[[], float]) -> None:
        self._every, self._clock = every, clock
        self._rounds = 0
        self._last: float | None = None
        self._cost = 0.0

    def round_ended(self) -> None:
        """Count a round."""
        self._rounds += 1

    def spent(self, seconds: float) -> None:
        """Count what checkpoints cost: what the trainer waited, and the CPU time of the threads beside it."""
        self._cost += seconds

    @property
    def due(self) -> bool:
        """Whether a checkpoint should be taken now; the first one always should."""
        if self._every != "auto":
            return self._rounds >= self._every
        return self._last is None or self._clock() - self._last >= self._cost / SHARE

    def taken(self) -> None:
        """A checkpoint was begun: rounds, time and cost count from here."""
        self._rounds, self._last, self._cost = 0, self._clock(), 0.0


@dataclass(frozen=True, kw_only=True)
class CheckpointCallbacks:
    """What a checkpointer calls, from its own threads."""

    on_problem: Report
    """With a node and what is wrong, once per change; no problem ends a run."""
    on_written: Callable[[NodeState, LocalCheckpoint], None] = lambda _state, _checkpoint: None
    """With a node's state and the checkpoint that holds it, once it is safe on this machine's disk and before anything
    older is removed."""
    before_upload: Callable[[], None] = lambda: None
    """Before uploads begin: what was logged goes to the folder first."""


class Checkpointer:
    """Writes the checkpoints of a trainer's nodes; at most one snapshot per node is in memory.

    Args:
        folder: this machine's own, for checkpoints of this experiment.
        experiment: the experiment in the shared folder, attached.
        config: when, how many, how large.
        callbacks: called from the checkpointer's own threads.
        clock: seconds that never go back.
        former: node to the incarnations that it continues, oldest first; see `StoredCheckpoints.prune`.

    Raises:
        CheckpointError: from any method, when one of its threads has ended by a fault of the program.
    """

    def __init__(
        self,
        folder: Path,
        experiment: ExperimentStore,
        config: CheckpointConfig,
        callbacks: CheckpointCallbacks,
        *,
        clock: Callable[[], float] = time.monotonic,
        former: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._folder, self._paths, self._config = folder, experiment.paths, config
        self._clock, self._callbacks = clock, callbacks
        self._problems = Problems(callbacks.on_problem)
        self._pace = CheckpointPace(config.every, clock)
        self._uploads = Uploads(experiment, config, self._problems, clock, former)
        self._thread = Background("checkpoint")
        self._spare: dict[str, PolicySnapshot] = {}
        self._saved: dict[str, Saved] = {}
        self._failed: dict[str, str] = {}

    def after_round(self, nodes: Sequence[Node], make_state: MakeState) -> bool:
        """Take a checkpoint of all nodes if one is due and the one before is written; never waits for a disk.

        Args:
            nodes: the healthy ones.
            make_state: what to keep of each.

        Returns:
            Whether one was taken.
        """
        self._pace.round_ended()
        self._pace.spent(self._thread.take_cpu_s() + self._uploads.thread.take_cpu_s())
        if not nodes or not self._thread.idle or not self._pace.due:
            return False
        self._pace.taken()
        self._take(nodes, make_state)
        if self._uploads.due:
            self._thread.put(self._start_uploads)
        return True

    def flush(
        self, nodes: Sequence[Node], make_state: MakeState, *, within_s: float, upload: bool = True
    ) -> list[str]:
        """Write a last checkpoint of all nodes, and upload it.

        Args:
            nodes: the healthy ones.
            make_state: what to keep of each.
            within_s: seconds that this may take, beside the copies in memory.
            upload: whether to the shared folder too.

        Returns:
            A line for each node of which something is not safe.
        """
        deadline = self._clock() + within_s
        if not self._thread.wait_idle(within_s):
            return [f"{node.id}: {LOCAL} hangs; its last checkpoint was not written" for node in nodes]
        self._take(nodes, make_state)
        if not self._thread.wait_idle(deadline - self._clock()):
            return [f"{node.id}: {LOCAL} is not done within {within_s:g} s" for node in nodes]
        undone = [f"{node.id}: {self._failed[node.id]}" for node in nodes if node.id in self._failed]
        return undone + (self._flush_uploads(nodes, deadline) if upload else [])

    def close(self) -> None:
        """End the threads, without what they have not begun; harmless when repeated."""
        self._thread.close()
        self._uploads.thread.close()

    def _flush_uploads(self, nodes: Sequence[Node], deadline: float) -> list[str]:
        late = [f"{node.id}: its last checkpoint is on this machine only: no time is left" for node in nodes]
        if not self._uploads.thread.wait_idle(deadline - self._clock()):
            return late
        self._start_uploads()
        if not self._uploads.thread.wait_idle(deadline - self._clock()):
            return late
        return [
            f"{node.id}: its last checkpoint is on this machine only: {why}"
            for node in nodes
            if (why := self._uploads.failed.get(node.id))
        ]

    def _take(self, nodes: Sequence[Node], make_state: MakeState) -> None:
        began = self._clock()
        taken = [(make_state(node), snapshot(node.policy, self._spare.pop(node.id, None))) for node in nodes]
        self._pace.spent(self._clock() - began)
        for state, copy in taken:
            self._thread.put(partial(self._write, state, copy))

    def _write(self, state: NodeState, taken: PolicySnapshot) -> None:
        own = node_checkpoints(self._folder, self._paths, state.node)
        files: dict[FileName, Content] = {
            "weights.safetensors": partial(save_tensors, taken.weights),
            "optimizer.safetensors": partial(save_tensors, taken.optimizer),
            "state.json": state.encode(),
        }
        try:
            written = own.write(state.step, state.incarnation, files, state.reward)
        except (StoreError, CheckpointError) as error:
            self._failed[state.node] = f"the {LOCAL} does not work: {error}"
            self._problems.trouble(state.node, LOCAL, type(error).__name__, self._failed[state.node])
            return
        if taken.bytes <= _REUSED:
            self._spare[state.node] = taken
        self._saved[state.node] = own, written
        self._failed.pop(state.node, None)
        self._problems.well(state.node, LOCAL)
        self._callbacks.on_written(state, written)
        self._prune(state.node, own)

    def _prune(self, node: str, own: LocalCheckpoints) -> None:
        try:
            own.prune(self._config.keep, self._config.keep_best, self._uploads.reading)
        except StoreError as error:
            text = f"the {REMOVAL} does not work: {error}"
            self._problems.trouble(node, REMOVAL, type(error).__name__, text)
        else:
            self._problems.well(node, REMOVAL)

    def _start_uploads(self) -> None:
        """Runs when the checkpoints before it are written."""
        if self._saved:
            self._callbacks.before_upload()
            self._uploads.start(self._saved)
