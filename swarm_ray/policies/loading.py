"""Loading the policies of one trainer: on which device, whether so many fit it, and a model for each node.

How many fit is estimated before anything is loaded. Each node keeps 16 bytes per parameter: weights, gradients and
Adam's two moments, all float32. Nodes generate and learn one after another, so activations and the key-value cache are
needed once. They are estimates:

- update: per token of a pass and per layer 10 x hidden + 5 x intermediate floats are kept for the backward
  pass (measured: Llama and Qwen2 keep 10 h + 4 i, GPT-2 8 h + 5 i), and logits are made in chunks;
- decode: keys and values of every row, and the logits of one token per row, twice;
- bfloat16: a cast copy of the weights besides, 2 bytes per parameter.

Prompts are taken as 256 tokens long, since they are not known before the questions are drawn.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import psutil
import torch

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import ConfigError, ModelError
from swarm_ray.policies.huggingface import load_config, load_huggingface
from swarm_ray.policies.logprobs import CHUNK_LOGITS
from swarm_ray.policies.policy import Policy
from swarm_ray.policies.probe import probe_layout, require_decoder
from swarm_ray.policies.prompts import system_prompt_of
from swarm_ray.policies.transformers_models import count_parameters

BYTES_PER_PARAMETER = 16
PROMPT_TOKENS = 256
_FLOAT = 4
_CHUNK_COPIES = 4
"""Logits, their log-softmax, probabilities and gradient."""


def choose_device(name: str) -> torch.device:
    """The device of `policy.device`; `auto` is the first CUDA device where there is one, else the CPU.

    Raises:
        ConfigError: not a device, or a CUDA device that this machine does not have.
    """
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name in {"auto", "cpu"}:
        return torch.device("cuda:0" if present and name == "auto" else "cpu")
    kind, colon, index = name.partition(":")
    if kind != "cuda" or (colon and not index.isdecimal()):
        raise ConfigError(f"policy.device={name!r} is not a device; use auto, cpu, cuda or cuda:1")
    if not present:
        raise ConfigError(
            f"policy.device={name!r}, but PyTorch sees no CUDA device here; set policy.device=auto"
        )
    if int(index or 0) >= present:
        raise ConfigError(f"policy.device={name!r}, but this machine has cuda:0 to cuda:{present - 1} only")
    return torch.device("cuda", int(index or 0))


def free_memory(device: torch.device) -> int:
    """Bytes that can be allocated on the device now; on the CPU without swapping."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes that policies need on their device."""

    per_node: int
    """Weights, gradients and optimizer."""
    update: int
    """Activations of the one update that runs at a time."""
    decode: int
    """Cache and logits of the one decode that runs at a time."""

    @property
    def working(self) -> int:
        """Needed once, whatever the number of nodes: an update and a decode never run together."""
        return max(self.update, self.decode)

    def total(self, nodes: int) -> int:
        """Bytes for so many nodes."""
        return nodes * self.per_node + self.working

    def nodes_in(self, free: int) -> int:
        """How many nodes fit into so many bytes."""
        return max(0, (free - self.working) // self.per_node)


def memory_need(model: Any, config: SwarmConfig) -> MemoryNeed:
    """The bytes that policies need under this configuration; arithmetic alone, no weight is allocated.

    Args:
        model: its transformers configuration.
        config: the swarm.
    """
    text, settings, parameters = model.get_text_config(), config.policy, count_parameters(model)
    layers, hidden, vocabulary = int(text.num_hidden_layers), int(text.hidden_size), int(text.vocab_size)
    heads = int(text.num_attention_heads)
    intermediate = int(getattr(text, "intermediate_size", None) or 4 * hidden)
    head_size = int(getattr(text, "head_dim", None) or hidden // heads)
    key_value = head_size * int(getattr(text, "num_key_value_heads", None) or heads)
    length = PROMPT_TOKENS + settings.max_new_tokens
    trained = (config.local + config.external) * config.completions * length
    tokens = min(settings.micro_batch_tokens, trained)
    kept = tokens * layers * (10 * hidden + 5 * intermediate)
    chunk = min(CHUNK_LOGITS, tokens * vocabulary) * _CHUNK_COPIES
    rows = min(settings.generate_batch, config.local * config.completions)
    cache = rows * length * layers * 2 * key_value
    cast = 2 * parameters if settings.dtype == "bfloat16" else 0
    return MemoryNeed(
        per_node=BYTES_PER_PARAMETER * parameters,
        update=_FLOAT * (kept + chunk) + cast,
        decode=_FLOAT * (cache + 2 * rows * vocabulary) + cast,
    )


def require_room(need: MemoryNeed, nodes: int, free: int, where: str) -> None:
    """Refuses more nodes than fit into `free` bytes of `where`.

    Raises:
        ModelError: they do not fit; says how many do and what to change.
    """
    if need.total(nodes) <= free:
        return
    fitting = need.nodes_in(free)
    ways = [f"at most {fitting} node{'s'[: fitting != 1]} here"] if fitting else []
    if need.update >= need.decode and need.update > need.per_node:
        ways.append("a smaller policy.micro_batch_tokens")
    elif need.decode > need.per_node:
        ways.append("a smaller policy.generate_batch")
    ways += ["a smaller policy.model", "a policy.device with more memory"]
    raise ModelError(
        f"{nodes} node{'s'[: nodes != 1]} would take about {need.total(nodes):,} bytes on {where} "
        f"({need.per_node:,} each and {need.working:,} to work in), and {free:,} are free: "
        f"room for {fitting}; choose {', '.join(ways[:-1])} or {ways[-1]}"
    )


def preflight(config: SwarmConfig, nodes: int, device: torch.device) -> MemoryNeed:
    """What `nodes` policies of `policy.model` need on the device; refuses what does not fit, before loading.

    Raises:
        ModelError: no model of this name, or so many do not fit.
    """
    need = memory_need(load_config(config.policy.model), config)
    require_room(need, nodes, free_memory(device), f"{device} with policy.model={config.policy.model!r}")
    return need


def load_policies(config: SwarmConfig, count: int) -> list[Policy]:
    """`count` policies of the Hugging Face model `policy.model`, on one device, each with weights of its own.

    The model is loaded once, probed once, and copied for each node.

    Raises:
        ConfigError: `policy.device` is not on this machine.
        ModelError: the model cannot be loaded, does not fit so often, or does not decode in batches.
    """
    settings, device = config.policy, choose_device(config.policy.device)
    preflight(config, count, device)
    language = load_huggingface(settings.model, system_prompt_of(settings, config.tasks.answer))
    pad = language.tokenizer.pad_token_id
    language.model.to(device)
    require_decoder(language.model, pad, device)
    layout = probe_layout(language.model, pad, settings, device)
    models = [language.model, *(copy.deepcopy(language.model) for _ in range(count - 1))]
    return [Policy(replace(language, model=m), settings, config.grpo, device, layout) for m in models]
