"""The policies of one trainer: the model is loaded once, probed once, and copied for each node."""

from __future__ import annotations

import copy

import torch

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.policies.devices import choose_device
from swarm_ray.policies.generate import Sampling
from swarm_ray.policies.huggingface import end_tokens, load_huggingface, unspeakable_tokens
from swarm_ray.policies.logprobs import Layout
from swarm_ray.policies.policy import Policy
from swarm_ray.policies.preflight import preflight
from swarm_ray.policies.probe import probe_layout, require_decoder
from swarm_ray.policies.prompts import PromptFormat, prompt_format, system_prompt_of
from swarm_ray.policies.transformers_models import CausalModel, TextTokenizer


def load_policies(config: SwarmConfig, count: int) -> list[Policy]:
    """`count` policies of the Hugging Face model `policy.model`, on one device, each with weights of its own.

    Raises:
        ConfigError: `policy.device` is not on this machine.
        ModelError: the model cannot be loaded, does not fit so often, or does not decode in batches.
    """
    device = choose_device(config.policy.device)
    preflight(config, count, device)
    model, tokenizer = load_huggingface(config.policy)
    model.to(device)
    require_decoder(model, tokenizer.pad_token_id, device)
    layout = find_layout(model, tokenizer.pad_token_id, config, device)
    prompt = prompt_format(tokenizer, system_prompt_of(config))
    eos_ids = end_tokens(model, tokenizer)
    banned = unspeakable_tokens(model, tokenizer, eos_ids)
    models = [model, *(copy.deepcopy(model) for _ in range(count - 1))]
    return [build_policy(m, tokenizer, prompt, eos_ids, config, device, layout, banned) for m in models]


def build_policy(
    model: CausalModel,
    tokenizer: TextTokenizer,
    prompt: PromptFormat,
    eos_ids: tuple[int, ...],
    config: SwarmConfig,
    device: torch.device,
    layout: Layout,
    banned_ids: tuple[int, ...] = (),
) -> Policy:
    """A policy around a model that is on the device; `banned_ids` are never sampled."""
    settings = config.policy
    sampling = Sampling(
        settings.max_new_tokens, settings.temperature, eos_ids, tokenizer.pad_token_id, banned_ids
    )
    return Policy(model, tokenizer, prompt, sampling, layout, settings, config.grpo, device)


def find_layout(model: CausalModel, pad: int, config: SwarmConfig, device: torch.device) -> Layout:
    """The layout that `probe_layout` finds under the configuration's packing and dtype."""
    reduced = config.policy.dtype != "float32"
    return probe_layout(model, pad, device, packing=config.policy.packing == "auto", reduced=reduced)
