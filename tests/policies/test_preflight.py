from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, GPT2Config, LlamaConfig, Qwen2Config

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import ModelError
from swarm_ray.policies import loading as module
from swarm_ray.policies.loading import MemoryNeed, memory_need, preflight, require_room
from swarm_ray.policies.logprobs import CHUNK_LOGITS, Layout, TokenGroup, lay_out
from swarm_ray.policies.transformers_models import count_parameters

CPU = torch.device("cpu")
NEED = MemoryNeed(per_node=1000, update=300, decode=200)


def test_the_working_memory_is_needed_once():
    assert NEED.working == 300
    assert [NEED.total(n) for n in (1, 2, 8)] == [1300, 2300, 8300]
    assert [NEED.nodes_in(free) for free in (0, 299, 1299, 1300, 2299, 2300, 8300)] == [0, 0, 0, 1, 1, 2, 8]


@pytest.mark.parametrize("free", [0, 1300, 5299, 5300, 9000])
def test_as_many_nodes_are_let_in_as_fit(free):
    for nodes in range(1, 10):
        if nodes <= NEED.nodes_in(free):
            require_room(NEED, nodes, free, "cuda:0")
        else:
            with pytest.raises(ModelError, match=f"room for {NEED.nodes_in(free)};"):
                require_room(NEED, nodes, free, "cuda:0")


def test_the_refusal_names_bytes_and_ways_out():
    with pytest.raises(ModelError) as error:
        require_room(NEED, 8, 5300, "cuda:0")
    assert str(error.value) == (
        "8 nodes would take about 8,300 bytes on cuda:0 (1,000 each and 300 to work in), and 5,300 are free: "
        "room for 5; choose at most 5 nodes here, a smaller policy.model or a policy.device with more memory"
    )
    with pytest.raises(
        ModelError, match=r"choose a smaller policy\.micro_batch_tokens, a smaller policy.model"
    ):
        require_room(MemoryNeed(1000, 5000, 200), 1, 5300, "cpu")
    with pytest.raises(ModelError, match=r"choose a smaller policy\.generate_batch, a smaller policy.model"):
        require_room(MemoryNeed(1000, 200, 5000), 1, 5300, "cpu")


@pytest.mark.parametrize(
    ("model", "key_value", "intermediate"),
    [
        (LlamaConfig(hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=8), 16, 11008),
        (
            Qwen2Config(hidden_size=64, num_attention_heads=4, num_key_value_heads=1, intermediate_size=9),
            16,
            9,
        ),
        (GPT2Config(n_embd=64, n_head=4), 64, 256),
    ],
    ids=["llama", "qwen2", "gpt2"],
)
def test_the_need_is_sixteen_bytes_a_parameter_and_the_work(model, key_value, intermediate):
    settings = {"local": 2, "external": 2, "completions": 4, "policy": {"max_new_tokens": 44}}
    need = memory_need(model, SwarmConfig.model_validate(settings))
    parameters, layers, vocabulary = count_parameters(model), model.num_hidden_layers, model.vocab_size
    tokens, rows, chunk = 4 * 4 * 300, 2 * 4, 4 * min(CHUNK_LOGITS, 4800 * vocabulary)
    assert need.per_node == 16 * parameters
    assert need.update == 4 * (tokens * layers * (10 * 64 + 5 * intermediate) + chunk)
    assert need.decode == 4 * (rows * 300 * layers * 2 * key_value + 2 * rows * vocabulary)
    settings["policy"] |= {"dtype": "bfloat16", "micro_batch_tokens": 50, "generate_batch": 4}
    less = memory_need(model, SwarmConfig.model_validate(settings))
    kept = 50 * layers * (10 * 64 + 5 * intermediate)
    assert less.update == 4 * (kept + 4 * min(CHUNK_LOGITS, 50 * vocabulary)) + 2 * parameters
    assert less.decode == 4 * (4 * 300 * layers * 2 * key_value + 8 * vocabulary) + 2 * parameters


def test_parameters_are_counted_without_loading(model):
    assert count_parameters(model.config) == sum(p.numel() for p in model.parameters())


def test_a_model_of_billions_is_counted_on_no_memory():
    heads = {"num_attention_heads": 64, "num_key_value_heads": 8}
    config = LlamaConfig(hidden_size=8192, intermediate_size=28672, num_hidden_layers=80, **heads)
    assert 60e9 < count_parameters(config) < 80e9


@pytest.mark.parametrize("layout", [Layout.PACKED, Layout.PADDED])
def test_the_estimate_covers_what_a_pass_keeps(model, layout):
    """Bytes kept for the backward pass, counted, against the estimate; it may not be wasteful either."""
    groups = [TokenGroup(tuple(range(5, 25)), tuple(tuple(range(30, 50)) for _ in range(5)))] * 4
    rows = lay_out(groups, layout, 0, CPU)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        inputs = {"attention_mask": rows.attention_mask, "position_ids": rows.position_ids}
        model.base_model(input_ids=rows.input_ids, use_cache=False, **inputs)
    measured = sum(storage.nbytes() for storage in kept.values())
    size = model.config
    inner = getattr(size, "intermediate_size", None) or 4 * size.hidden_size
    tokens = rows.input_ids.numel()
    estimate = 4 * tokens * size.num_hidden_layers * (10 * size.hidden_size + 5 * inner)
    assert 0.5 * estimate < measured < 1.15 * estimate


def test_preflight_refuses_before_any_weight_is_read(saved, monkeypatch):
    folder = saved("llama")
    config = SwarmConfig.model_validate({"policy": {"model": str(folder)}})
    for file in folder.glob("*.safetensors"):
        file.unlink()
    need = preflight(config, 2, CPU)
    assert need.per_node == 16 * count_parameters(AutoConfig.from_pretrained(folder))
    monkeypatch.setattr(module, "free_memory", lambda device: need.total(3))
    preflight(config, 3, CPU)
    with pytest.raises(ModelError, match=r"4 nodes would take .* room for 3; choose at most 3 nodes here"):
        preflight(config, 4, CPU)
