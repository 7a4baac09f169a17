"""The policies of one trainer: the model is loaded once, probed once, and copied for each node."""

from __future__ import annotations

import copy

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.policies.huggingface import end_tokens, load_huggingface, unspeakable_tokens
from swarm_ray.policies.policy import LanguageModel, Policy
from swarm_ray.policies.preflight import choose_device, preflight
from swarm_ray.policies.probe import find_layout, require_decoder
from swarm_ray.policies.prompts import prompt_format, system_prompt_of


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
    banned_ids = unspeakable_tokens(model, tokenizer, eos_ids)
    models = [model, *(copy.deepcopy(model) for _ in range(count - 1))]
    return [
        Policy(LanguageModel(m, tokenizer, prompt, eos_ids, banned_ids), config, device, layout)
        for m in models
    ]
