"""Small models of three architectures with random weights, a tokenizer made in code, and their policies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from models_for_tests import make_model, make_tokenizer, save_model
from transformers import PreTrainedTokenizerFast

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.policies.logprobs import Layout
from swarm_ray.policies.policy import LanguageModel, Policy
from swarm_ray.policies.prompts import PlainPrompt

CPU = torch.device("cpu")


@pytest.fixture
def build() -> Callable[..., torch.nn.Module]:
    return make_model


@pytest.fixture(params=["llama", "qwen2", "gpt2"])
def model(request: pytest.FixtureRequest) -> torch.nn.Module:
    return make_model(request.param)


@pytest.fixture
def llama() -> torch.nn.Module:
    return make_model("llama")


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer()


@pytest.fixture
def saved(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> Callable[..., Path]:
    """Writes a model and its tokenizer as `save_pretrained` does, and returns the folder."""

    def save(architecture: str = "llama", **changes: object) -> Path:
        return save_model(tmp_path / architecture, architecture, tokenizer=tokenizer, **changes)

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
        return Policy(
            LanguageModel(model, tokenizer, PlainPrompt(tokenizer, ""), (3,), (0,)), config, CPU, layout
        )

    return make
