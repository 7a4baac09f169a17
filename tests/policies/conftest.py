"""Small models of three architectures with random weights, a tokenizer made in code, and their policies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.policies.logprobs import Layout
from swarm_ray.policies.policy import Policy
from swarm_ray.policies.pool import build_policy
from swarm_ray.policies.prompts import PlainPrompt

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VOCABULARY = 320
CPU = torch.device("cpu")


def _sharpened(model: torch.nn.Module) -> torch.nn.Module:
    """Larger weights, so that tokens matter to each other and likelihoods are far from uniform."""
    stream = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.15, generator=stream)
    return model.eval()


def make_model(architecture: str, **changes: object) -> torch.nn.Module:
    sizes: dict[str, object] = {"vocab_size": VOCABULARY, "bos_token_id": None, "eos_token_id": 3}
    if architecture == "gpt2":
        sizes |= {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
        return _sharpened(GPT2LMHeadModel(GPT2Config(**sizes | changes)))
    sizes |= {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 2, "max_position_embeddings": 128}
    if architecture == "llama":
        return _sharpened(LlamaForCausalLM(LlamaConfig(**sizes | changes)))
    return _sharpened(Qwen2ForCausalLM(Qwen2Config(tie_word_embeddings=True, **sizes | changes)))


@pytest.fixture
def build() -> Callable[..., torch.nn.Module]:
    return make_model


@pytest.fixture(params=["llama", "qwen2", "gpt2"])
def model(request: pytest.FixtureRequest) -> torch.nn.Module:
    return make_model(request.param)


@pytest.fixture
def llama() -> torch.nn.Module:
    return make_model("llama")


@pytest.fixture(scope="session")
def trained() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|pad|>", "<|im_start|>", "<|im_end|>", "<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["Question: what is 12 plus 30? Answer: 42"] * 9, trainer)
    return tokenizer


@pytest.fixture
def tokenizer(trained: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(trained.to_str()),
        pad_token="<|pad|>",
        eos_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
    )


@pytest.fixture
def saved(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> Callable[..., Path]:
    """Writes a model and its tokenizer as `save_pretrained` does, and returns the folder."""

    def save(architecture: str = "llama", *, chat: bool = True, **changes: object) -> Path:
        folder = tmp_path / architecture
        make_model(architecture, **changes).save_pretrained(folder)
        tokenizer.chat_template = CHAT_TEMPLATE if chat else None
        tokenizer.save_pretrained(folder)
        return folder

    return save


@pytest.fixture
def policy_of(tokenizer: PreTrainedTokenizerFast) -> Callable[..., Policy]:
    """A policy around a model: plain-text prompts, EOS 3, padding 0; `policy` and `grpo` change settings."""

    def make(
        model: torch.nn.Module,
        layout: Layout = Layout.PACKED,
        policy: dict[str, object] | None = None,
        grpo: dict[str, object] | None = None,
    ) -> Policy:
        settings = {"max_new_tokens": 6, **(policy or {})}
        config = SwarmConfig.model_validate({"policy": settings, "grpo": grpo or {}})
        return build_policy(model, tokenizer, PlainPrompt(tokenizer, ""), (3,), config, CPU, layout, (0,))

    return make
