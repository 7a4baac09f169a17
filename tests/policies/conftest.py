"""Small models of three architectures with random weights, a tokenizer made in code, and their policies."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from models_for_tests import make_model, make_tokenizer, save_model
from transformers import PreTrainedTokenizerFast

from swarm_ray.config.schema import GrpoConfig, PolicyConfig
from swarm_ray.policies.logprobs import Layout
from swarm_ray.policies.policy import LanguageModel, Policy
from swarm_ray.policies.prompts import plain_prompt

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
        ends: tuple[int, ...] = (3,),
    ) -> Policy:
        config = PolicyConfig.model_validate({"max_new_tokens": 6, **(policy or {})})
        language = LanguageModel(model, tokenizer, partial(plain_prompt, tokenizer, ""), ends, (0,))
        return Policy(language, config, GrpoConfig.model_validate(grpo or {}), CPU, layout)

    return make
