"""Batched sampling: all completions of all questions of a policy in one decode, each prompt computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from swarm_ray.errors import NodeFailure
from swarm_ray.machine.cancellation import never_cancelled
from swarm_ray.policies.transformers_models import CausalModel, named_inputs

CHUNK_PROBABILITIES = 4_000_000
"""Most probabilities (rows x vocabulary) that are made of logits at a time."""


@dataclass(frozen=True)
class Sampling:
    """How completions are sampled; over the whole vocabulary, without top-k or top-p."""

    max_new_tokens: int
    temperature: float
    eos_ids: tuple[int, ...]
    """Any of these ends a completion; the first is the one that closes the text of another node."""
    pad_id: int
    banned_ids: tuple[int, ...] = ()
    """Tokens that are never sampled: padding, the markers of a prompt, ids without a text."""


@torch.inference_mode()
def sample_completions(
    model: CausalModel,
    prompts: Sequence[Sequence[int]],
    copies: int,
    sampling: Sampling,
    stream: torch.Generator,
    check_cancelled: Callable[[], None] = never_cancelled,
) -> list[list[tuple[int, ...]]]:
    """The tokens of `copies` completions of each prompt: outer list as `prompts`, inner list of length `copies`.

    A completion that was finished within `max_new_tokens` ends with the end-of-sequence token that was sampled.

    Prompts are left-padded for the one prefill, with positions that follow the mask, and its key-value cache
    is repeated for the copies. The model must be in eval mode; `stream` lives on the model's device, and no
    other random stream is touched. `check_cancelled` is called for every token, and may raise to end the decode.

    Raises:
        NodeFailure: the model's logits are not numbers.
    """
    device = stream.device
    ids, mask = _left_padded(prompts, sampling.pad_id, device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    out = model(
        **named_inputs(
            model,
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            use_cache=True,
            logits_to_keep=1,
        )
    )
    cache = out.past_key_values
    cache.batch_repeat_interleave(copies)
    logits = out.logits[:, -1].repeat_interleave(copies, 0)
    mask = mask.repeat_interleave(copies, 0)
    position = positions[:, -1:].repeat_interleave(copies, 0)
    eos = torch.tensor(sampling.eos_ids, device=device, dtype=torch.long)
    banned = torch.tensor(sampling.banned_ids, device=device, dtype=torch.long)
    ended = torch.zeros(len(mask), dtype=torch.bool, device=device)
    broken = torch.zeros_like(ended)
    tokens: list[torch.Tensor] = []
    while True:
        check_cancelled()
        token = _sample(logits, sampling.temperature, banned, stream)
        broken = broken | (token == logits.shape[1])
        token = token.masked_fill(ended | broken, sampling.pad_id)
        tokens.append(token)
        ended = ended | torch.isin(token, eos)
        if len(tokens) == sampling.max_new_tokens or bool(ended.all()):
            break
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        position = position + 1
        step = named_inputs(model, input_ids=token[:, None], attention_mask=mask, position_ids=position)
        logits = model(**step, past_key_values=cache, use_cache=True).logits[:, -1]
    if bool(broken.any()):
        raise NodeFailure("the policy's logits are not finite; lower grpo.learning_rate")
    rows = [_cut(row, sampling.eos_ids) for row in torch.stack(tokens, 1).tolist()]
    return [rows[i * copies : (i + 1) * copies] for i in range(len(prompts))]


def _left_padded(
    prompts: Sequence[Sequence[int]], pad: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(p) for p in prompts)
    ids = [[pad] * (width - len(p)) + list(p) for p in prompts]
    mask = [[0] * (width - len(p)) + [1] * len(p) for p in prompts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _sample(
    logits: torch.Tensor, temperature: float, banned: torch.Tensor, stream: torch.Generator
) -> torch.Tensor:
    """One token per row by inverse transform sampling, which costs a third of `torch.multinomial` here.

    A row of logits that are not numbers has no token; it gets the vocabulary's size.
    """
    draws = torch.rand(len(logits), 1, generator=stream, device=logits.device, dtype=torch.float64)
    size = max(1, CHUNK_PROBABILITIES // logits.shape[1])
    found = []
    for part, draw in zip(torch.split(logits, size), torch.split(draws, size), strict=True):
        scores = part.float() / temperature
        scores[:, banned] = float("-inf")
        # In float64: a GPU's float32 sums need not be monotone, and the search could then hit a banned token.
        cumulative = scores.softmax(-1).cumsum(-1, dtype=torch.float64)
        # Strictly below the total, so that the search ends on a token of positive probability.
        threshold = draw * cumulative[:, -1:] * (1 - 1e-9)
        found.append(torch.searchsorted(cumulative, threshold, right=True).squeeze(1))
    return torch.cat(found)


def _cut(row: list[int], eos_ids: tuple[int, ...]) -> tuple[int, ...]:
    """A row up to its first end-of-sequence token, which stays in it."""
    end = next((i for i, token in enumerate(row, start=1) if token in eos_ids), len(row))
    return tuple(row[:end])
