import pytest
import torch
from transformers import GPT2Model, MistralConfig, MistralForCausalLM

from swarm_ray.config.schema import PolicyConfig
from swarm_ray.errors import ModelError
from swarm_ray.policies.logprobs import Layout
from swarm_ray.policies.probe import probe_layout, require_decoder

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_that_agrees_is_packed_unless_that_is_off(model, dtype):
    assert probe_layout(model, 0, PolicyConfig(dtype=dtype), CPU) is Layout.PACKED
    assert probe_layout(model, 0, PolicyConfig(dtype=dtype, packing="off"), CPU) is Layout.PADDED


def test_a_model_that_numbers_positions_by_itself_is_padded(build):
    class Counting(GPT2Model):
        def forward(self, *args, position_ids=None, **inputs):
            return super().forward(*args, **inputs)

    model = build("gpt2")
    model.transformer.__class__ = Counting
    assert probe_layout(model, 0, PolicyConfig(), CPU) is Layout.PADDED


def test_a_model_that_scales_its_logits_makes_them_itself(llama):
    forward = llama.forward

    def scaled(*args, **inputs):
        out = forward(*args, **inputs)
        out.logits = out.logits * 0.5
        return out

    llama.forward = scaled
    assert probe_layout(llama, 0, PolicyConfig(), CPU) is Layout.PADDED_FULL


def test_a_sliding_window_is_not_packed():
    """Though the probe's rows are too short to tell."""
    sizes = {"vocab_size": 300, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128}
    window = MistralForCausalLM(MistralConfig(**sizes, **heads, sliding_window=64)).eval()
    assert probe_layout(window, 0, PolicyConfig(), CPU) is Layout.PADDED
    whole = MistralForCausalLM(MistralConfig(**sizes, **heads, sliding_window=None)).eval()
    assert probe_layout(whole, 0, PolicyConfig(), CPU) is Layout.PACKED


def test_causal_models_decode_in_batches(model):
    require_decoder(model, 0, CPU)


def test_a_model_that_ignores_padding_or_answers_no_numbers_is_refused(llama):
    forward = llama.forward

    def careless(*args, attention_mask=None, **inputs):
        return forward(*args, **inputs)

    llama.forward = careless
    with pytest.raises(ModelError, match="decodes otherwise in a batch than alone"):
        require_decoder(llama, 0, CPU)
    with torch.no_grad():
        next(iter(llama.parameters())).fill_(float("nan"))
    with pytest.raises(ModelError, match="logits are not finite"):
        require_decoder(llama, 0, CPU)


def test_the_probe_computes_with_one_thread_and_leaves_the_trainer_its_own(llama):
    used, forward, before = set(), llama.forward, torch.get_num_threads()

    def counted(*args, **inputs):
        used.add(torch.get_num_threads())
        return forward(*args, **inputs)

    llama.forward = counted
    torch.set_num_threads(3)
    try:
        require_decoder(llama, 0, CPU)
        probe_layout(llama, 0, PolicyConfig(), CPU)
        assert (used, torch.get_num_threads()) == ({1}, 3)
    finally:
        torch.set_num_threads(before)
