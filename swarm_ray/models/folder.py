"""A node's model, built from its experiment's configuration, as a folder that transformers loads.

It answers there as the node answered.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import UserError
from swarm_ray.policies.generate import Sampling
from swarm_ray.policies.huggingface import load_huggingface
from swarm_ray.policies.policy import Policy
from swarm_ray.policies.state import whole_state
from swarm_ray.policies.tiny.loading import tiny_language, tiny_tokenizer
from swarm_ray.policies.tiny.model import CHAT_TEMPLATE, build_model
from swarm_ray.policies.tiny.starts import start_folder
from swarm_ray.policies.transformers_models import (
    CausalModel,
    TextTokenizer,
    save_decoding,
    without_progress_bars,
)
from swarm_ray.tasks.questions import TaskSet

CARD = "README.md"
_VOCABULARY = "reasoning-gym"
"""The package whose questions the embedded model's vocabulary is made of."""


@dataclass(frozen=True)
class ModelParts:
    """What a node's model is made of, beside its weights."""

    model: CausalModel
    """Of the node's architecture; its weights are not looked at and not changed."""
    tokenizer: TextTokenizer
    sampling: Sampling
    chat_template: str = ""
    """For a tokenizer without one; empty leaves it as it is."""

    @property
    def has_chat(self) -> bool:
        """Whether the tokenizer will have a chat template."""
        return bool(self.chat_template or self.tokenizer.chat_template)


def fill_folder(folder: Path, parts: ModelParts, weights: Mapping[str, torch.Tensor], card: str) -> None:
    """Write model, tokenizer, decoding settings and model card into a folder that is there.

    Args:
        folder: an empty one.
        parts: the model's.
        weights: the trainable ones, on the CPU.
        card: the text of its `README.md`.

    Raises:
        CheckpointMismatch: the weights are of another model.
        OSError: the disk does not take it.
    """
    tokenizer, sampling = copy.deepcopy(parts.tokenizer), parts.sampling
    if parts.chat_template:
        tokenizer.chat_template = parts.chat_template
    state = whole_state(parts.model, weights)
    with without_progress_bars():
        try:
            parts.model.save_pretrained(folder, state_dict=state)
        except SafetensorError as error:
            raise OSError(str(error)) from error
    save_decoding(
        parts.model,
        folder,
        eos_ids=sampling.eos_ids,
        pad_id=sampling.pad_id,
        banned_ids=sorted(sampling.banned_ids),
        temperature=sampling.temperature,
        max_new_tokens=sampling.max_new_tokens,
    )
    tokenizer.save_pretrained(folder)
    (folder / CARD).write_text(card, encoding="utf-8")


def build_parts(
    config: SwarmConfig, versions: Mapping[str, str], cache: Path, modules: Sequence[str]
) -> ModelParts:
    """Build the model and the tokenizer of an experiment's nodes.

    Args:
        config: the experiment's.
        versions: of the packages that it was made with.
        cache: where the embedded model's tokenizers are kept.
        modules: modules with tasks that may be imported; they are needed where the tokenizer is not in the cache.

    Raises:
        ModelError: the Hugging Face model cannot be loaded.
        UserError: the embedded model's vocabulary cannot be made here.
    """
    if not config.policy.is_tiny:
        with without_progress_bars():
            language = load_huggingface(config.policy.model)
    else:
        _require_same_questions(versions)
        home = start_folder(config.tasks, config.policy.start_seed, cache)
        tokenizer = tiny_tokenizer(home, lambda: TaskSet(config.tasks, allowed_modules=tuple(modules)))
        language = tiny_language(build_model(tokenizer, seed=0), tokenizer)
    return ModelParts(language.model, language.tokenizer, language.sampling(config.policy), _template(config))


def parts_of(policy: Policy, config: SwarmConfig) -> ModelParts:
    """The parts of a policy that is there; it may learn on meanwhile."""
    return ModelParts(policy.model, policy.tokenizer, policy.sampling, _template(config))


def _template(config: SwarmConfig) -> str:
    return CHAT_TEMPLATE if config.policy.is_tiny else ""


def _require_same_questions(versions: Mapping[str, str]) -> None:
    made, here = versions.get(_VOCABULARY, ""), version(_VOCABULARY)
    if made and made != here:
        raise UserError(
            f"the embedded model's vocabulary is made of the questions of {_VOCABULARY}, and the experiment had "
            f"version {made!r} of it: here is {here}; export where that version is installed"
        )
