"""A policy stopped, stored and restored continues exactly like one that was never stopped."""

import copy
import os
from pathlib import Path

import pytest
import torch
from checkpoints_for_tests import GROUPS as FIRST
from checkpoints_for_tests import LOSS, assert_equal, everything

from swarm_ray.errors import CheckpointError, CheckpointMismatch
from swarm_ray.policies.logprobs import TokenGroup
from swarm_ray.policies.state import PolicySnapshot, load_tensors, restore, save_tensors, snapshot

SECOND = [TokenGroup((33, 4, 8), ((3,), (61, 62, 63)), (0.7, -0.7))]


def through_files(taken: PolicySnapshot, folder: Path) -> tuple[dict, dict]:
    save_tensors(taken.weights, folder / "weights.safetensors")
    save_tensors(taken.optimizer, folder / "optimizer.safetensors")
    return load_tensors(folder / "weights.safetensors"), load_tensors(folder / "optimizer.safetensors")


def test_the_next_update_is_that_of_a_policy_never_stopped(model, policy_of, tmp_path) -> None:
    untouched = copy.deepcopy(model)
    policy = policy_of(model)
    policy.update(FIRST, LOSS)
    policy.update(SECOND, LOSS)
    weights, optimizer = through_files(snapshot(policy), tmp_path)
    first = policy.update(FIRST, LOSS)

    fresh = policy_of(untouched)
    # Adam's state is by name, not by first use.
    restore(fresh, dict(reversed(weights.items())), dict(reversed(optimizer.items())))
    assert fresh.update(FIRST, LOSS) == first
    assert_equal(everything(fresh), everything(policy))
    assert fresh.update(SECOND, LOSS) == policy.update(SECOND, LOSS)
    assert_equal(everything(fresh), everything(policy))


def test_a_snapshot_does_not_change_with_the_policy(llama, policy_of) -> None:
    policy = policy_of(llama)
    policy.update(FIRST, LOSS)
    taken = snapshot(policy)
    before = {k: v.clone() for k, v in (taken.weights | taken.optimizer).items()}
    policy.update(SECOND, LOSS)
    assert_equal(taken.weights | taken.optimizer, before)
    assert not torch.equal(taken.weights["model.norm.weight"], policy.model.state_dict()["model.norm.weight"])
    assert taken.bytes == sum(t.numel() * 4 for t in before.values())


def test_a_snapshot_into_held_memory_is_the_same(llama, policy_of) -> None:
    policy = policy_of(llama)
    held = snapshot(policy)
    policy.update(FIRST, LOSS)
    middle = snapshot(policy, held)  # Adam had no state before, so its part is new
    policy.update(SECOND, LOSS)
    fresh = snapshot(policy)
    reused = snapshot(policy, middle)
    assert_equal(reused.weights | reused.optimizer, fresh.weights | fresh.optimizer)
    pointers = {k: v.data_ptr() for k, v in (middle.weights | middle.optimizer).items()}
    assert {k: v.data_ptr() for k, v in (reused.weights | reused.optimizer).items()} == pointers
    assert held.weights["model.norm.weight"].data_ptr() == pointers["model.norm.weight"]


def test_before_the_first_update_adam_has_no_state(llama, policy_of, tmp_path) -> None:
    policy, other = policy_of(llama), policy_of(copy.deepcopy(llama))
    weights, optimizer = through_files(snapshot(policy), tmp_path)
    assert optimizer == {}
    other.update(FIRST, LOSS)
    restore(other, weights, optimizer)
    assert_equal(everything(other), everything(policy))
    assert other.update(SECOND, LOSS) == policy.update(SECOND, LOSS)
    assert_equal(everything(other), everything(policy))


def test_tied_embeddings_are_stored_once_and_stay_tied(build, policy_of) -> None:
    policy, other = policy_of(build("qwen2")), policy_of(build("qwen2"))
    policy.update(FIRST, LOSS)
    taken = snapshot(policy)
    assert "model.embed_tokens.weight" in taken.weights
    assert "lm_head.weight" not in taken.weights
    restore(other, taken.weights, taken.optimizer)
    assert other.model.lm_head.weight is other.model.model.embed_tokens.weight
    assert torch.equal(other.model.lm_head.weight, policy.model.lm_head.weight)


def test_only_what_trains_is_stored(llama, policy_of, tmp_path) -> None:
    other_model = copy.deepcopy(llama)
    for model in (llama, other_model):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("self_attn" in name)
    policy, other = policy_of(llama), policy_of(other_model)
    policy.update(FIRST, LOSS)
    weights, optimizer = through_files(snapshot(policy), tmp_path)
    assert weights.keys() == {n for n, p in llama.named_parameters() if p.requires_grad}
    assert {key.partition(".")[2] for key in optimizer} == weights.keys()
    restore(other, weights, optimizer)
    assert other.update(SECOND, LOSS) == policy.update(SECOND, LOSS)
    assert_equal(everything(other), everything(policy))


def test_the_learning_rate_is_the_configurations(llama, policy_of) -> None:
    policy = policy_of(llama, grpo={"learning_rate": 0.001})
    other = policy_of(copy.deepcopy(llama), grpo={"learning_rate": 0.01})
    policy.update(FIRST, LOSS)
    taken = snapshot(policy)
    restore(other, taken.weights, taken.optimizer)
    assert other.optimizer.param_groups[0]["lr"] == 0.01


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_hidden_layers": 3}, r"model\.layers\.2\.\S+ is missing"),
        ({"num_hidden_layers": 1}, r"model\.layers\.1\.\S+ is unexpected"),
        ({"intermediate_size": 48}, r"mlp\.gate_proj\.weight is 64x32, and the model's is 48x32"),
    ],
)
def test_another_model_is_refused_with_the_difference(build, policy_of, changes, said) -> None:
    policy, other = policy_of(build("llama")), policy_of(build("llama", **changes))
    policy.update(FIRST, LOSS)
    other.update(SECOND, LOSS)
    before = everything(other)
    taken = snapshot(policy)
    with pytest.raises(CheckpointMismatch, match=said) as refusal:
        restore(other, taken.weights, taken.optimizer)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 500
    assert_equal(everything(other), before)


@pytest.mark.parametrize(
    "damage",
    [
        {f"{what}.nothing": torch.zeros(()) for what in ("step", "exp_avg", "exp_avg_sq")},
        {},
        {"exp_avg_sq.model.norm.weight": torch.zeros(7)},
        {"step.model.norm.weight": torch.zeros(2)},
    ],
    ids=["unexpected", "incomplete", "shape", "step"],
)
def test_an_optimizer_that_does_not_fit_is_refused(llama, policy_of, damage) -> None:
    policy = policy_of(llama)
    policy.update(FIRST, LOSS)
    taken = snapshot(policy)
    optimizer = dict(taken.optimizer) | damage
    if not damage:
        del optimizer["exp_avg.model.norm.weight"]
    with pytest.raises(CheckpointMismatch, match=r"optimizer's \w+\.(nothing|model\.norm\.weight)"):
        restore(policy, taken.weights, optimizer)


def test_files_that_are_none_are_refused(tmp_path) -> None:
    path = tmp_path / "weights.safetensors"
    for content in (b"", b"\x80\x04N.", os.urandom(100)):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
            load_tensors(path)
    with pytest.raises(CheckpointError, match="free some space"):
        save_tensors({"a": torch.zeros(2)}, tmp_path / "no folder" / "weights.safetensors")
