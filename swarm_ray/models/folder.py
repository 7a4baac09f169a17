"""A node's model as a folder that transformers loads: what it answers there is what the node answered."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError

from swarm_ray.policies.generate import Sampling
from swarm_ray.policies.state import whole_state
from swarm_ray.policies.transformers_models import (
    CausalModel,
    TextTokenizer,
    save_decoding,
    without_progress_bars,
)

CARD = "README.md"


@dataclass(frozen=True)
class ModelParts:
    """What a node's model is made of, beside its weights."""

    model: CausalModel
    """Of the node's architecture; its weights are not looked at and not changed."""
    tokenizer: TextTokenizer
    sampling: Sampling
    chat_template: str = ""
    """For a tokenizer that has none; empty leaves it as it is."""

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
