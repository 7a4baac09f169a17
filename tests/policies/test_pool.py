from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertLMHeadModel

from swarm_ray.config.schema import GrpoConfig, SwarmConfig
from swarm_ray.errors import ConfigError, ModelError
from swarm_ray.policies.loading import load_policies
from swarm_ray.policies.logprobs import Layout
from swarm_ray.sapo.grpo import grpo_loss

LOSS = grpo_loss(GrpoConfig())


def swarm(folder, **policy):
    settings = {"model": str(folder), "device": "cpu", "max_new_tokens": 6, **policy}
    return SwarmConfig.model_validate({"policy": settings})


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gpt2"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_nodes_start_alike_and_learn_apart(saved, architecture, dtype):
    first, second, third = load_policies(swarm(saved(architecture), dtype=dtype), 3)
    question = "what is 12 plus 30?"
    rows = first.generate([question], 6, seed=1)
    assert second.generate([question], 6, seed=1) == rows
    group = first.group(question, (c.ids for c in rows[0]), (1.0, -1.0, 0.5, -0.5, 0.25, -0.25))
    first.update([group], LOSS)
    pairs = list(zip(first.model.parameters(), second.model.parameters(), strict=True))
    assert any(not torch.equal(one, other) for one, other in pairs)
    for one, other in zip(second.model.parameters(), third.model.parameters(), strict=True):
        assert torch.equal(one, other)
        assert one.data_ptr() != other.data_ptr()
    assert second.generate([question], 6, seed=1) == rows


def test_tied_weights_stay_tied_in_every_copy(saved):
    for policy in load_policies(swarm(saved("qwen2")), 2):
        model = policy.model
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


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
    rows = policy.generate(["2+2?"], 300, seed=0)
    tokens = {token for c in rows[0] for token in c.ids}
    assert len(tokens) > 50
    assert 0 not in tokens
    assert max(tokens) < len(policy.tokenizer) < 320


def test_more_nodes_than_fit_are_refused(saved):
    with pytest.raises(ModelError, match=r"1000000000 nodes would take .* on cpu with policy\.model="):
        load_policies(swarm(saved("llama")), 10**9)


def test_a_device_that_is_not_there(saved, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no CUDA device"):
        load_policies(swarm(saved("llama"), device="cuda"), 1)


def test_a_model_that_looks_ahead_is_refused(saved):
    folder = saved("llama")
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    BertLMHeadModel(BertConfig(vocab_size=320, **sizes)).save_pretrained(folder)
    with pytest.raises(ModelError, match="this architecture"):
        load_policies(swarm(folder), 1)
