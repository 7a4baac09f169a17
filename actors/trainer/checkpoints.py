"""A trainer's checkpoints, and removal of what they make superfluous."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue

import msgspec

from actors.trainer.reporter import TrainerContext
from actors.trainer.restoring import Restored
from drive_store import RETRYABLE, Retention
from drive_store.checkpoints.local import LocalCheckpoint
from swarm_ray.checkpointing.node_state import NodeState, fingerprint
from swarm_ray.checkpointing.writer import CheckpointCallbacks, Checkpointer
from swarm_ray.models.push import HubPushes
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.sapo.node import Node


class TrainerCheckpoints:
    """Takes checkpoints after rounds; removes spooled files, closings, rows and round files no longer needed.

    Args:
        folder: for checkpoints, on this machine's disk.
        context: the trainer's experiment, configuration, state, outbox and reporter.
        restored: the nodes, and the incarnations that they continue.
        pushes: brings models to the Hub; None brings none.
    """

    def __init__(
        self,
        folder: Path,
        context: TrainerContext,
        restored: Restored,
        pushes: HubPushes | None = None,
    ) -> None:
        self._config, self._state, self._outbox = context.config, context.state, context.outbox
        self._pushes = pushes
        self._retentions = [
            (node, Retention(context.experiment, node, life))
            for node, former in restored.former.items()
            for life in (*former, restored.folders[node].incarnation)
        ]
        self._rows: dict[str, list[StepMetrics]] = {}
        self._saved: SimpleQueue[tuple[str, int]] = SimpleQueue()
        self._checkpointer = Checkpointer(
            folder,
            context.experiment,
            context.config.checkpoint,
            CheckpointCallbacks(
                on_problem=lambda node, text: context.reporter.tell("checkpoint", text, node),
                on_saved=lambda node, step: self._saved.put((node, step)),
                on_written=self._written,
                before_upload=context.reporter.flush,
            ),
            former=restored.former,
        )

    def after_round(self, nodes: Sequence[Node], number: int) -> None:
        """Take a checkpoint if one is due, and drop what an earlier one holds."""
        self._checkpointer.after_round([n for n in nodes if not n.problem], self._node_state)
        while not self._saved.empty():
            node, step = self._saved.get()
            self._outbox.release(node, step)
            self._rows[node] = [row for row in self._rows.get(node, []) if row.step >= step]
        kept = self._config.pace.staleness if self._config.pace.mode == "async" else 0
        self._state.forget_before(min(n.round for n in nodes) + 1 - kept)
        self._remove_old(number)

    def hold(self, rows: Sequence[StepMetrics]) -> None:
        """Keep rows for the next checkpoint."""
        for row in rows:
            self._rows.setdefault(row.node, []).append(row)

    def close(self, nodes: Sequence[Node], within_s: float) -> list[str]:
        """Take a final checkpoint and push it; answers a line for each thing that is not safe."""
        deadline = time.monotonic() + within_s
        healthy = [n for n in nodes if not n.problem and n.step > 0]
        left = self._checkpointer.flush(healthy, self._node_state, within_s=within_s) if healthy else []
        self._checkpointer.close()
        if self._pushes is not None:
            left += self._pushes.finish(healthy, deadline - time.monotonic())
            self._pushes.close()
        return left

    def _written(self, state: NodeState, checkpoint: LocalCheckpoint) -> None:
        if self._pushes is not None:
            self._pushes.offer(state, checkpoint)

    def _remove_old(self, number: int) -> None:
        """Remove round files past retention; a folder out of reach is cleaned up later."""
        keep = self._config.retention.rounds
        if keep is None:
            return
        try:
            for node, retention in self._retentions:
                retention.remove_below(number - keep, self._outbox.keys_waiting(node))
        except RETRYABLE as error:
            self._state.problem = error

    def _node_state(self, node: Node) -> NodeState:
        rows = tuple(self._rows.get(node.id, ()))
        return NodeState(
            node=node.id,
            incarnation=node.incarnation,
            step=node.step,
            round=node.round,
            state_ref=self._state.ref_at(node.round),
            totals=msgspec.structs.replace(node.totals),
            previous=node.previous,
            vote=node.vote,
            local=self._config.local,
            external=self._config.external,
            learning_rate=self._config.grpo.learning_rate,
            model=fingerprint(self._config.policy, node.policy),
            rows=rows,
            reward=sum(r.reward for r in rows) / len(rows) if rows else None,
            evaluated=node.totals.pass_at_1_end is not None,
        )
