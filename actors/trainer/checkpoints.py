"""A trainer's checkpoints: taking them, removing what they make superfluous, and catching up from them after a restart.

After a restart the steps between a node's checkpoint and the swarm's round are repeated or given up.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import msgspec

from actors.trainer.reporter import TrainerReporter
from actors.trainer.restoring import Restored
from drive_store import RETRYABLE, ExperimentStore, Retention
from drive_store.checkpoints.local import LocalCheckpoint
from swarm_ray.checkpointing.node_state import NodeState, fingerprint
from swarm_ray.checkpointing.writer import CheckpointCallbacks, Checkpointer
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.exchange.folder import Outbox
from swarm_ray.exchange.replay import PublishedStep, StepReplay
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.models.push import HubPushes
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.refusals import RefusalKind
from swarm_ray.sapo.node import Node


@dataclass(frozen=True)
class TrainerContext:
    """What the parts of a trainer share."""

    experiment: ExperimentStore
    config: SwarmConfig
    state: StateFollower
    """The swarm as the trainer sees it."""
    outbox: Outbox
    """Holds the spools."""
    reporter: TrainerReporter


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
        self._saved.put((state.node, state.step))
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


TakeAgain = Callable[[list[Node], PublishedStep], list[StepMetrics]]
"""Runs the round of a step once more for nodes that made it."""


def catch_up(
    nodes: Sequence[Node],
    state: StateFollower,
    made: StepReplay,
    restored: Restored,
    reporter: TrainerReporter,
    take_again: TakeAgain,
) -> int:
    """Repeat every step whose rollouts are kept, without generating, and report what was recovered.

    Args:
        nodes: as their checkpoints left them.
        state: follows the state log, from the oldest checkpoint on.
        made: finds the rollouts of earlier processes.
        restored: what was restored of each node.
        reporter: reports it.
        take_again: runs the round of a step once more.

    Returns:
        Rounds that were repeated.
    """
    state.poll()
    again: Counter[str] = Counter()
    without: Counter[str] = Counter()
    rounds, rows = repeat_steps(nodes, made, take_again)
    for row in rows:
        again[row.node] += 1
        without[row.node] += sum(
            n for reason, n in row.counters.rejected.items() if RefusalKind.of(reason).is_missing
        )
    for node in nodes:
        adopted, lost = _close_gap(node, state, made, restored.former[node.id])
        if restored.former[node.id]:
            reporter.tell_recovered(
                node, _said(node, restored, again[node.id], without[node.id], lost, adopted)
            )
    for problem in made.problems:
        reporter.tell("resumed", problem)
    return rounds


def repeat_steps(
    nodes: Sequence[Node], made: StepReplay, take_again: TakeAgain
) -> tuple[int, list[StepMetrics]]:
    """Repeat the steps whose rounds have closed, oldest first; answers how many rounds those were, and their rows."""
    rounds, rows = 0, []
    while (behind := made.replayable(nodes)) is not None:
        step, together = behind
        rows += take_again(together, step)
        rounds += not step.file.alone
    return rounds, rows


def _close_gap(
    node: Node, state: StateFollower, made: StepReplay, former: Sequence[str]
) -> tuple[int | None, int]:
    """Skip steps whose rollouts are gone; answers the open round whose file is adopted, and the steps lost."""
    opens = state.latest.opens if state.latest else None
    here = opens is not None and node.id in {m.node for m in opens.members} and opens.round > node.round
    if here and opens is not None and made.find(node) is None:
        made.look_in_open_round(node, opens.round, former)
    before, highest = node.step, made.highest(node.id)
    if _is_gone(made.find(node), node, state) and highest >= node.step:
        node.step = highest
        if _is_gone(made.find(node), node, state):
            node.step = highest + 1
    found = made.find(node)
    adopted = found.round if found is not None and opens is not None and found.round == opens.round else None
    return adopted, node.step - before


def _is_gone(made: PublishedStep | None, node: Node, state: StateFollower) -> bool:
    """Whether a step cannot be repeated: its rollouts are gone, or the swarm is past its round."""
    if made is None:
        return True
    latest = state.latest
    tally = latest.tallies.get(node.id) if latest else None
    counted = tally is not None and tally.round >= made.round
    return counted or (latest is not None and latest.opens is not None and latest.opens.round > made.round)


def _said(node: Node, restored: Restored, again: int, without: int, lost: int, adopted: int | None) -> str:
    """One line: where the node resumes, from what, and what could not be recovered."""
    if (weights := restored.weights_of.get(node.id)) is not None:
        taken = f"the weights of the checkpoint of {weights.describe()}"
        return f"resumed at step {node.step} from {taken}; optimizer and counters start over, as asked"
    found = restored.found.get(node.id)
    kept = "" if without else "nothing lost"
    parts = [
        f"resumed at step {node.step}" + (f" from the checkpoint of {found.describe()}" if found else ""),
        "" if found else "no whole checkpoint was found, so it starts from the initial weights",
        f"{again} update(s) taken again from the state log" if again else "",
        f"in them the rollouts of {without} file(s) of peers were missing, which are no longer kept"
        if without
        else "",
        f"its file of round {adopted} adopted" if adopted is not None else "",
        f"{lost} update(s) lost: their rollouts are no longer kept" if lost else kept,
    ]
    return "; ".join(filter(None, parts))
