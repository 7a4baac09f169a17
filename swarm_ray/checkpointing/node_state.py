"""What a checkpoint holds of a node beside its tensors: `state.json`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Literal

import msgspec

from drive_store import UNREADABLE, StateRef
from swarm_ray.config.schema import PolicyConfig
from swarm_ray.errors import CheckpointError, CheckpointMismatch
from swarm_ray.policies.policy import Policy
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.nodes import NodeTotals
from swarm_ray.records.rollouts import StepCounters


class NodeState(msgspec.Struct, frozen=True, kw_only=True):
    """A node's counters and where it stood; random streams are derived from (seed, node, step), so none is kept."""

    schema: Literal[1] = 1
    node: str
    incarnation: str
    """The one that wrote the checkpoint."""
    step: int
    round: int = -1
    """The last round it took part in; -1 before the first."""
    state_ref: StateRef | None = None
    """The last state record it processed; replay continues after it."""
    totals: NodeTotals = msgspec.field(default_factory=NodeTotals)
    previous: StepCounters | None = None
    """Counters of its last step, not yet published."""
    vote: str | None = None
    local: int
    """I, as it stood for this node."""
    external: int
    """J, as it stood for this node."""
    learning_rate: float
    """As it stood; what a resumed node learns with is its configuration's."""
    model: dict[str, str] = {}
    """What tells its model from another; see `fingerprint`."""
    rows: tuple[StepMetrics, ...] = ()
    """Metrics since the last checkpoint that was saved: they are logged again on resume, once each."""
    reward: float | None = None
    """Mean own reward since then; the best checkpoints are chosen by it."""
    evaluated: bool = False
    """Whether held-out pass@1 at the end of the run is in the totals."""

    def encode(self) -> bytes:
        """The content of `state.json`."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


def decode_state(data: bytes, where: str) -> NodeState:
    """Read a `state.json`.

    Args:
        data: its content.
        where: its path, for the message.

    Raises:
        CheckpointError: it is not one that this version reads.
    """
    try:
        return msgspec.json.decode(data, type=NodeState)
    except UNREADABLE as error:
        raise CheckpointError(
            f"{where} is not a node's state that this version reads: {error}; resume with the version that wrote it"
        ) from error


def fingerprint(config: PolicyConfig, policy: Policy) -> dict[str, str]:
    """What tells a node's model from another's; the version of PyTorch is there for people."""
    return {
        "model": config.model,
        "start": config.start if config.is_tiny else "",
        "parameters": str(sum(p.numel() for p in policy.model.parameters())),
        "torch": version("torch"),
    }


def require_same_model(state: NodeState, expected: Mapping[str, str]) -> None:
    """Make sure that a checkpoint is of the model that should continue it.

    Raises:
        CheckpointMismatch: it is not; the message has the differences.
    """
    differences = [
        f"{key} is {expected[key]!r} here and {state.model.get(key, '')!r} in the checkpoint"
        for key in expected
        if key != "torch" and state.model.get(key, "") != expected[key]
    ]
    if differences:
        raise CheckpointMismatch(
            f"node {state.node} cannot continue its checkpoint of step {state.step}: {'; '.join(differences)}; "
            "take that model, resume=weights for its weights alone, or another node id to start anew"
        )
