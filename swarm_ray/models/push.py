"""Pushes nodes' models to the Hub in the background: failures here do not reach the training."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from drive_store.checkpoints.local import LocalCheckpoint
from swarm_ray.checkpointing.background import Background, Problems
from swarm_ray.checkpointing.node_state import NodeState
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.config.secrets import without_secrets
from swarm_ray.errors import CheckpointError, CheckpointMismatch
from swarm_ray.models.folder import ModelParts, exported_tokenizer, fill_folder, model_card
from swarm_ray.models.hub import push_failures, push_folder, repository_of
from swarm_ray.policies.state import load_tensors
from swarm_ray.sapo.node import Node

Tell = Callable[[str, str, str], None]
"""Called with a kind of event, its text, and the node."""
PUSH = "push to the Hugging Face Hub"
_KIND = "hub"
_WAITING = "weights.safetensors"
_LONGEST = 300
"""Characters of a cause that are shown; the Hub sometimes answers with whole pages."""


@dataclass(frozen=True)
class _Model:
    """A node's model as a checkpoint on this machine's own disk has it."""

    state: NodeState
    weights: Path


class HubPushes:
    """Pushes a checkpoint every `hub.every` rounds, in a thread of its own.

    Args:
        config: the swarm, with this worker's `hub`.
        experiment: its name.
        nodes: those of this trainer, as they begin.
        folder: on the machine's own disk, for what waits.
        tell: takes "hub", the outcome of a push, and the node; called from the push thread.
    """

    def __init__(
        self,
        config: SwarmConfig,
        experiment: str,
        nodes: Sequence[Node],
        folder: Path,
        tell: Tell,
    ) -> None:
        self._config, self._experiment, self._tell = config, experiment, tell
        self._parts = _parts(nodes, is_tiny=config.policy.is_tiny)
        self._tried = {n.id: n.round for n in nodes}
        self._pushed: dict[str, int] = {}
        self._failed: dict[str, str] = {}
        self._latest: dict[str, _Model] = {}
        self._waiting: set[str] = set()
        self._folders = {n.id: folder / n.id for n in nodes}
        self._failures: tuple[type[Exception], ...] = (CheckpointError, CheckpointMismatch, *push_failures())
        self._problems = Problems(lambda node, text: tell(_KIND, text, node))
        self._thread = Background("push to the Hub")
        for own in self._folders.values():  # left by a process that died
            shutil.rmtree(own, ignore_errors=True)

    def offer(self, state: NodeState, checkpoint: LocalCheckpoint) -> None:
        """Note a checkpoint, and push it if it is due and the push before has ended."""
        node, every = state.node, self._config.hub.every
        self._latest[node] = _Model(state, checkpoint.file("weights.safetensors"))
        if node in self._waiting or (state.round + 1) // every <= (self._tried[node] + 1) // every:
            return
        self._tried[node] = state.round
        waiting = self._folders[node] / _WAITING
        try:
            waiting.parent.mkdir(parents=True, exist_ok=True)
            waiting.unlink(missing_ok=True)
            # The checkpoint may be removed before its turn comes.
            os.link(self._latest[node].weights, waiting)
        except OSError as error:
            self._fail(node, f"{waiting} cannot be made: {error}")
        else:
            self._waiting.add(node)
            self._put(_Model(state, waiting))

    def finish(self, nodes: Sequence[Node], within_s: float) -> list[str]:
        """Push the last checkpoint of each, and wait for it.

        Args:
            nodes: the healthy ones; their last checkpoints were offered.
            within_s: seconds to wait, at most.

        Returns:
            A line for each node whose last model is not on the Hub.
        """
        deadline = time.monotonic() + within_s
        latest = [self._latest[n.id] for n in nodes if n.id in self._latest]
        if not latest:
            return []
        self._thread.wait_idle(within_s)
        for model in latest:
            if self._pushed.get(model.state.node) != model.state.step:
                self._failed.pop(model.state.node, None)
                self._put(model)
        self._thread.wait_idle(deadline - time.monotonic())
        return [
            f"{node}: its last model, of step {step}, is not on the Hub: {self._failed.get(node, 'time ran out')}; "
            "swarm-ray export-model writes it to a folder"
            for node, step in ((model.state.node, model.state.step) for model in latest)
            if self._pushed.get(node) != step
        ]

    def close(self) -> None:
        """End the thread and drop what waits; harmless when repeated."""
        self._thread.close()

    def _put(self, model: _Model) -> None:
        try:
            self._thread.put(partial(self._push, model))
        except CheckpointError as error:
            # A bug ended the thread; training continues.
            self._fail(model.state.node, str(error))

    def _push(self, model: _Model) -> None:
        state, hub = model.state, self._config.hub
        repository = repository_of(hub, state.node)
        try:
            self._send(model, repository)
        except self._failures as error:
            self._fail(state.node, f"{repository}: {_cause(error)}", type(error).__name__)
            return
        finally:
            (self._folders[state.node] / _WAITING).unlink(missing_ok=True)
            self._waiting.discard(state.node)
        self._pushed[state.node] = state.step
        self._failed.pop(state.node, None)
        self._problems.well(state.node, PUSH)
        self._tell(_KIND, f"pushed step {state.step}, round {state.round} to {repository}", state.node)

    def _send(self, model: _Model, repository: str) -> None:
        state, own = model.state, self._folders[model.state.node]
        parts = self._parts[state.node]
        card = model_card(self._experiment, state, self._config, chat=bool(parts.tokenizer.chat_template))
        own.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=own) as made:
            fill_folder(Path(made), parts, load_tensors(model.weights), card)
            push_folder(
                Path(made),
                repository,
                private=self._config.hub.private,
                message=f"{self._experiment}: {state.node}, step {state.step}, round {state.round}",
                tag=f"step-{state.step}",
            )

    def _fail(self, node: str, why: str, kind: str = "") -> None:
        self._failed[node] = why
        self._problems.trouble(
            node, PUSH, kind or why, f"the {PUSH} fails: {why}; the next checkpoint is tried again"
        )


def _parts(nodes: Sequence[Node], *, is_tiny: bool) -> dict[str, ModelParts]:
    """What the nodes' models are made of; the tokenizers are copies, one of each that nodes share."""
    shared = {id(n.policy.tokenizer): n.policy.tokenizer for n in nodes}
    copies = {key: exported_tokenizer(tokenizer, is_tiny=is_tiny) for key, tokenizer in shared.items()}
    return {
        n.id: ModelParts(n.policy.model, copies[id(n.policy.tokenizer)], n.policy.sampling) for n in nodes
    }


def _cause(error: BaseException) -> str:
    """What went wrong; the client wraps some of it in errors that only say what was being done."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {without_secrets(str(error))[:_LONGEST]}"
