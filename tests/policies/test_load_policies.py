"""Policies are loaded onto a device that is there, as many as fit it, and each learns apart."""

import psutil
import pytest
import torch
from transformers import AutoConfig, BertConfig, BertLMHeadModel, GPT2Config, LlamaConfig, Qwen2Config

from swarm_ray.config.schema import GrpoConfig, SwarmConfig
from swarm_ray.errors import ConfigError, ModelError
from swarm_ray.policies import loading as module
from swarm_ray.policies.loading import (
    MemoryNeed,
    choose_device,
    free_memory,
    load_policies,
    memory_need,
    preflight,
    require_room,
)
from swarm_ray.policies.logprobs import CHUNK_LOGITS, Layout, TokenGroup, lay_out
from swarm_ray.policies.transformers_models import count_parameters
from swarm_ray.sapo.grpo import grpo_loss

CPU = torch.device("cpu")
SIZES = {"hidden_size": 64, "num_attention_heads": 4}
NEED = MemoryNeed(per_node=1000, update=300, decode=200)


def cuda(monkeypatch, count):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def swarm(folder, **policy):
    settings = {"model": str(folder), "device": "cpu", "max_new_tokens": 6, **policy}
    return SwarmConfig.model_validate({"policy": settings})


@pytest.mark.parametrize(
    ("name", "count", "device"),
    [
        ("auto", 2, "cuda:0"),
        ("auto", 0, "cpu"),
        ("cpu", 2, "cpu"),
        ("cuda", 2, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_a_device_is_taken_by_name_and_auto_is_the_first_cuda_device(monkeypatch, name, count, device):
    cuda(monkeypatch, count)
    assert choose_device(name) == torch.device(device)


@pytest.mark.parametrize(
    ("name", "count", "advice"),
    [
        ("cuda", 0, "set policy.device=auto"),
        ("cuda:2", 2, "cuda:0 to cuda:1 only"),
        *((name, 1, "use auto, cpu, cuda") for name in ("cuda:", "cuda:-1", "gpu", "mps", "")),
    ],
)
def test_what_is_not_there_is_one_line(monkeypatch, name, count, advice):
    cuda(monkeypatch, count)
    with pytest.raises(ConfigError, match=rf"^policy\.device=.*{advice}.*$") as error:
        choose_device(name)
    assert "\n" not in str(error.value)


def test_the_working_memory_is_needed_once():
    assert NEED.working == 300
    assert [NEED.total(n) for n in (1, 2, 8)] == [1300, 2300, 8300]
    assert [NEED.nodes_in(free) for free in (0, 299, 1299, 1300, 2299, 2300, 8300)] == [0, 0, 0, 1, 1, 2, 8]
    assert 0 < free_memory(CPU) <= psutil.virtual_memory().total


def test_as_many_nodes_are_let_in_as_fit_and_the_refusal_names_ways_out():
    require_room(NEED, 5, 5300, "cuda:0")
    with pytest.raises(ModelError) as error:
        require_room(NEED, 6, 5300, "cuda:0")
    assert str(error.value) == (
        "6 nodes would take about 6,300 bytes on cuda:0 (1,000 each and 300 to work in), and 5,300 are free: "
        "room for 5; choose at most 5 nodes here, a smaller policy.model or a policy.device with more memory"
    )
    large = {"micro_batch_tokens": MemoryNeed(1000, 5000, 200), "generate_batch": MemoryNeed(1, 2, 5000)}
    for key, need in large.items():
        with pytest.raises(ModelError, match=rf"choose a smaller policy\.{key}, a smaller policy.model"):
            require_room(need, 1, 4300, "cpu")


@pytest.mark.parametrize(
    ("config", "key_value", "intermediate"),
    [
        (LlamaConfig(**SIZES, num_key_value_heads=2, head_dim=8), 16, 11008),
        (Qwen2Config(**SIZES, num_key_value_heads=1, intermediate_size=9), 16, 9),
        (GPT2Config(n_embd=64, n_head=4), 64, 256),
    ],
    ids=["llama", "qwen2", "gpt2"],
)
def test_the_need_is_sixteen_bytes_a_parameter_and_the_work(config, key_value, intermediate):
    settings = {"local": 2, "external": 2, "completions": 4, "policy": {"max_new_tokens": 44}}
    need = memory_need(config, SwarmConfig.model_validate(settings))
    parameters, layers, vocabulary = count_parameters(config), config.num_hidden_layers, config.vocab_size
    tokens, rows, chunk = 4 * 4 * 300, 2 * 4, 4 * min(CHUNK_LOGITS, 4800 * vocabulary)
    assert need.per_node == 16 * parameters
    assert need.update == 4 * (tokens * layers * (10 * 64 + 5 * intermediate) + chunk)
    assert need.decode == 4 * (rows * 300 * layers * 2 * key_value + 2 * rows * vocabulary)
    settings["policy"] |= {"dtype": "bfloat16", "micro_batch_tokens": 50, "generate_batch": 4}
    less = memory_need(config, SwarmConfig.model_validate(settings))
    kept = 50 * layers * (10 * 64 + 5 * intermediate)
    assert less.update == 4 * (kept + 4 * min(CHUNK_LOGITS, 50 * vocabulary)) + 2 * parameters
    assert less.decode == 4 * (4 * 300 * layers * 2 * key_value + 8 * vocabulary) + 2 * parameters


def test_parameters_are_counted_without_loading(model):
    assert count_parameters(model.config) == sum(p.numel() for p in model.parameters())
    heads = {"num_attention_heads": 64, "num_key_value_heads": 8}
    billions = LlamaConfig(hidden_size=8192, intermediate_size=28672, num_hidden_layers=80, **heads)
    assert 60e9 < count_parameters(billions) < 80e9


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
    measured, size = sum(storage.nbytes() for storage in kept.values()), model.config
    inner = getattr(size, "intermediate_size", None) or 4 * size.hidden_size
    estimate = 4 * rows.input_ids.numel() * size.num_hidden_layers * (10 * size.hidden_size + 5 * inner)
    assert 0.5 * estimate < measured < 1.15 * estimate


def test_preflight_refuses_before_any_weight_is_read(saved, monkeypatch):
    config = swarm(saved("llama"))
    for file in saved("llama").glob("*.safetensors"):
        file.unlink()
    need = preflight(config, 2, CPU)
    assert need.per_node == 16 * count_parameters(AutoConfig.from_pretrained(config.policy.model))
    monkeypatch.setattr(module, "free_memory", lambda device: need.total(3))
    preflight(config, 3, CPU)
    with pytest.raises(ModelError, match=r"4 nodes would take .* on cpu with policy\.model=.* room for 3;"):
        load_policies(config, 4)


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gpt2"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_nodes_start_alike_and_learn_apart(saved, architecture, dtype):
    first, second, third = load_policies(swarm(saved(architecture), dtype=dtype), 3)
    question = "what is 12 plus 30?"
    rows = first.generate([question], 6, seed=1)
    assert second.generate([question], 6, seed=1) == rows
    group = first.group(question, (c.ids for c in rows[0]), (1.0, -1.0, 0.5, -0.5, 0.25, -0.25))
    first.update([group], grpo_loss(GrpoConfig()))
    pairs = list(zip(first.model.parameters(), second.model.parameters(), strict=True))
    assert any(not torch.equal(one, other) for one, other in pairs)
    for one, other in zip(second.model.parameters(), third.model.parameters(), strict=True):
        assert torch.equal(one, other)
        assert one.data_ptr() != other.data_ptr()
    assert second.generate([question], 6, seed=1) == rows
    embeddings = second.model.get_input_embeddings().weight  # tied weights stay tied in every copy
    assert (second.model.get_output_embeddings().weight is embeddings) == (architecture != "llama")


def test_the_layout_is_found_once_and_shared(saved):
    folder = saved("llama")
    assert [p.layout for p in load_policies(swarm(folder), 2)] == [Layout.PACKED] * 2
    assert [p.layout for p in load_policies(swarm(folder, packing="off"), 2)] == [Layout.PADDED] * 2


def test_chat_models_are_prompted_and_closed_by_their_template(saved, tokenizer):
    (policy,) = load_policies(swarm(saved("llama"), system_prompt="Be brief."), 1)
    text = tokenizer.decode(policy.group("2+2?", []).prompt)
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>")
    assert text.endswith("<|im_start|>assistant\n")
    assert policy.encode("4", finished=True)[-1] == 2


def test_tokens_without_text_are_never_sampled(saved):
    (policy,) = load_policies(swarm(saved("llama")), 1)
    tokens = {token for c in policy.generate(["2+2?"], 300, seed=0)[0] for token in c.ids}
    assert len(tokens) > 50
    assert 0 not in tokens
    assert max(tokens) < len(policy.tokenizer) < 320


def test_a_model_that_looks_ahead_is_refused(saved):
    folder = saved("llama")
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    BertLMHeadModel(BertConfig(vocab_size=320, **sizes)).save_pretrained(folder)
    with pytest.raises(ModelError, match=r"^this architecture.*$"):
        load_policies(swarm(folder), 1)
