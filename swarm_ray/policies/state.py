"""A policy to and from tensors: trainable weights and Adam's state, by parameter name, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

from swarm_ray.errors import CheckpointError, CheckpointMismatch
from swarm_ray.policies.policy import Policy
from swarm_ray.policies.transformers_models import CausalModel

ADAM = ("step", "exp_avg", "exp_avg_sq")
"""What Adam keeps per parameter; its file has them as `<what>.<parameter's name>`."""
Tensors = Mapping[str, torch.Tensor]
_SHOWN = 3
"""How many differences a refusal names."""


@dataclass(frozen=True)
class PolicySnapshot:
    """Copies on the CPU, apart from the policy: what it learns afterwards does not change them."""

    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    """The trainable parameters: adapters alone where only they train, tied embeddings once."""
    optimizer: dict[str, torch.Tensor] = field(default_factory=dict)
    """Adam's state; empty before the first update."""

    @property
    def bytes(self) -> int:
        """Of all tensors together."""
        return sum(
            t.numel() * t.element_size() for part in (self.weights, self.optimizer) for t in part.values()
        )


def snapshot(policy: Policy, reuse: PolicySnapshot | None = None) -> PolicySnapshot:
    """Copy what a checkpoint of the policy needs; the trainer waits for it, so it does nothing else.

    Args:
        policy: between two updates.
        reuse: an earlier snapshot of a policy of the same shapes that nobody needs any more; its memory is written
            over, which spares the time of getting new.
    """
    held = reuse or PolicySnapshot()
    parameters = list(_trainable(policy.model))
    optimizer = {
        f"{what}.{name}": policy.optimizer.state[p][what]
        for name, p in parameters
        if policy.optimizer.state.get(p)
        for what in ADAM
    }
    weights = _copies({name: p.detach() for name, p in parameters}, held.weights)
    return PolicySnapshot(weights, _copies(optimizer, held.optimizer))


def restore(policy: Policy, weights: Tensors, optimizer: Tensors | None) -> None:
    """Give a policy the weights, and Adam the state, that a snapshot had; betas and learning rate stay the policy's.

    Args:
        policy: of the same architecture, on any device.
        weights: exactly its trainable parameters.
        optimizer: Adam's state of some or all of them; None starts Adam afresh.

    Raises:
        CheckpointMismatch: names or shapes differ; the policy is as before.
    """
    parameters = dict(_trainable(policy.model))
    _require_same(parameters, weights, optimizer or {})
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
    policy.optimizer.zero_grad(set_to_none=True)
    policy.optimizer.state.clear()
    for key, value in (optimizer or {}).items():
        what, _, name = key.partition(".")
        policy.optimizer.state[parameters[name]][what] = _like(parameters[name], what, value)


def whole_state(model: CausalModel, weights: Tensors) -> dict[str, torch.Tensor]:
    """All tensors that a model has, with these in the place of its trainable weights; the model is left as it is.

    Args:
        model: on any device; it may be learning meanwhile.
        weights: exactly its trainable parameters, on the CPU.

    Returns:
        As `state_dict` names them; tied weights are one tensor under several names.

    Raises:
        CheckpointMismatch: names or shapes differ.
    """
    parameters = dict(_trainable(model))
    _require_same(parameters, weights)
    names = {parameter.data_ptr(): name for name, parameter in parameters.items()}
    return {
        key: weights[names[tensor.data_ptr()]] if tensor.data_ptr() in names else tensor.cpu()
        for key, tensor in model.state_dict().items()
    }


def save_tensors(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write tensors on the CPU as a safetensors file.

    Raises:
        CheckpointError: the disk does not take it.
    """
    try:
        safetensors.torch.save_file(dict(tensors), path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} cannot be written: {error}; free some space") from error


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file onto the CPU.

    Raises:
        CheckpointError: it cannot be read as one.
    """
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read: {error}; remove its folder to go back to the checkpoint before"
        ) from error


def _trainable(model: CausalModel) -> Iterator[tuple[str, torch.nn.Parameter]]:
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)


def _require_same(
    parameters: Mapping[str, torch.nn.Parameter], weights: Tensors, optimizer: Tensors | None = None
) -> None:
    """Refuse other weights than the parameters', and other than whole states of some or all of them."""
    held = {key.partition(".")[2] for key in optimizer or {}} & parameters.keys()
    states = {
        f"{what}.{name}": torch.Size() if what == "step" else parameters[name].shape
        for name in held
        for what in ADAM
    }
    differences = [
        *_differences({name: p.shape for name, p in parameters.items()}, weights, ""),
        *_differences(states, optimizer or {}, "the optimizer's "),
    ]
    if differences:
        more = f", and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        raise CheckpointMismatch(
            f"the checkpoint is not of this model: {'; '.join(differences[:_SHOWN])}{more}; "
            "take the model that it was made with, or another node id to start anew"
        )


def _differences(expected: Mapping[str, torch.Size], found: Tensors, whose: str) -> Iterator[str]:
    for name in sorted(expected.keys() ^ found.keys()):
        yield f"{whose}{name} is {'missing' if name in expected else 'unexpected'}"
    for name in expected:
        if name in found and found[name].shape != expected[name]:
            yield f"{whose}{name} is {_shape(found[name].shape)}, and the model's is {_shape(expected[name])}"


def _copies(tensors: Tensors, held: Tensors) -> dict[str, torch.Tensor]:
    """Contiguous copies on the CPU, into held memory where it fits."""
    copies = {}
    for name, tensor in tensors.items():
        room = held.get(name)
        if room is None or room.shape != tensor.shape or room.dtype != tensor.dtype:
            room = torch.empty(tensor.shape, dtype=tensor.dtype)
        copies[name] = room.copy_(tensor)
    return copies


def _shape(size: torch.Size) -> str:
    return "x".join(map(str, size)) or "a number"


def _like(parameter: torch.nn.Parameter, what: str, value: torch.Tensor) -> torch.Tensor:
    """A tensor as fused Adam would have made it: on the parameter's device, `step` in float32."""
    if what == "step":
        return value.to(parameter.device, torch.float32, copy=True)
    return torch.empty_like(parameter, memory_format=torch.preserve_format, requires_grad=False).copy_(value)
