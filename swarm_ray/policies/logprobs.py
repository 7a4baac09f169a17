"""Log-probabilities of completions, computed from one of two layouts of the same groups.

*Packed*: a row holds a prompt once and all completions of its group; a tree mask lets each completion see the
prompt and itself, and positions restart after the prompt for each. *Padded*: a row per completion, padded on
the right. Completions are padded on the right or not at all, so a first token is always predicted from a real
prompt position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from swarm_ray.policies.transformers_models import CausalModel, named_inputs, text_setting

CHUNK_LOGITS = 4_000_000
"""Most logits (tokens x vocabulary) made at a time; those of the whole batch would dominate memory."""


@dataclass(frozen=True)
class TokenGroup:
    """A question's prompt and completions as tokens; completions end with EOS where they were finished."""

    prompt: tuple[int, ...]
    completions: tuple[tuple[int, ...], ...]
    advantages: tuple[float, ...] = ()
    """One per completion, where the group is to be learned from."""

    @property
    def completion_tokens(self) -> int:
        """Tokens to be predicted."""
        return sum(len(c) for c in self.completions)

    @property
    def teaches(self) -> bool:
        """Whether it has a gradient: an advantage, and a token that carries it."""
        return any(self.advantages) and self.completion_tokens > 0


class Layout(Enum):
    """How groups are laid into rows, and how logits are made from them."""

    PACKED = "packed"
    PADDED = "padded"
    PADDED_FULL = "padded, logits by the model itself"


@dataclass(frozen=True)
class Rows:
    """Model inputs, and where each completion token is predicted."""

    input_ids: torch.Tensor
    """[rows, width]"""
    position_ids: torch.Tensor
    """[rows, width]"""
    attention_mask: torch.Tensor
    """[rows, width] of 0 and 1, or [rows, 1, width, width] to be added to attention scores."""
    predictors: torch.Tensor
    """[tokens] flat index (row * width + column) of the position that predicts each completion token."""
    targets: torch.Tensor
    """[tokens] the completion tokens, group by group, completion by completion."""


def lay_out(groups: Sequence[TokenGroup], layout: Layout, pad: int, device: torch.device) -> Rows:
    """The groups in the given layout: a row per group under a tree mask, or a row per completion."""
    if layout is not Layout.PACKED:
        groups = [TokenGroup(g.prompt, (c,)) for g in groups for c in g.completions]
    width = max(len(g.prompt) + g.completion_tokens for g in groups)
    ids, positions, blocks = [], [], []
    predictors: list[int] = []
    targets: list[int] = []
    for row, group in enumerate(groups):
        length = len(group.prompt)
        line, place, block = list(group.prompt), list(range(length)), [0] * length
        for number, completion in enumerate(group.completions, start=1):
            start = row * width + len(line)
            places = [row * width + length - 1, *range(start, start + len(completion) - 1)]
            predictors += places[: len(completion)]
            targets += completion
            line += completion
            place += range(length, length + len(completion))
            block += [number] * len(completion)
        rest = width - len(line)
        ids.append(line + [pad] * rest)
        positions.append(place + [0] * rest)
        blocks.append(block + [-1] * rest)
    laid = torch.tensor(blocks, device=device)
    return Rows(
        torch.tensor(ids, device=device),
        torch.tensor(positions, device=device),
        _tree_mask(laid) if layout is Layout.PACKED else (laid >= 0).long(),
        torch.tensor(predictors, device=device, dtype=torch.long),
        torch.tensor(targets, device=device, dtype=torch.long),
    )


def _tree_mask(blocks: torch.Tensor) -> torch.Tensor:
    """Additive mask [rows, 1, width, width]: causal, within the own completion and the prompt (block 0)."""
    width = blocks.shape[1]
    own, other = blocks[:, :, None], blocks[:, None, :]
    causal = torch.ones(width, width, dtype=torch.bool, device=blocks.device).tril()
    seen = causal & ((other == 0) | (own == other))
    mask = torch.zeros(seen.shape, device=blocks.device)
    return mask.masked_fill(~seen, torch.finfo(mask.dtype).min)[:, None]


def completion_logprobs(
    model: CausalModel,
    rows: Rows,
    layout: Layout,
    temperature: float,
    banned: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and (without gradient) entropies of the completion tokens, nats, both [tokens].

    Args:
        model: on the device of the rows.
        rows: its inputs.
        layout: how they are laid out.
        temperature: of sampling.
        banned: tokens that are never sampled, and have no part in the distribution; one that a peer's text holds all
            the same is scored as if it alone of them could be.
    """
    if layout is Layout.PADDED_FULL:
        logits = model(**_inputs(model, rows)).logits
        return _of_logits(logits.flatten(0, 1)[rows.predictors], rows.targets, temperature, banned)
    decoder = model.base_model
    hidden = decoder(**_inputs(decoder, rows)).last_hidden_state.flatten(0, 1)[rows.predictors]
    head = model.get_output_embeddings()

    def part(states: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return _of_logits(head(states), targets, temperature, banned)

    size = max(1, CHUNK_LOGITS // int(text_setting(model, "vocab_size")))
    if len(hidden) <= size:
        return part(hidden, rows.targets)
    parts = [
        checkpoint(part, states, targets, use_reentrant=False, preserve_rng_state=False)
        for states, targets in zip(torch.split(hidden, size), torch.split(rows.targets, size), strict=True)
    ]
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])


def _inputs(module: object, rows: Rows) -> dict[str, Any]:
    return named_inputs(
        module,
        input_ids=rows.input_ids,
        attention_mask=rows.attention_mask,
        position_ids=rows.position_ids,
        use_cache=False,
    )


def _of_logits(
    logits: torch.Tensor, targets: torch.Tensor, temperature: float, banned: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    scores, chosen = logits.float() / temperature, targets[:, None]
    if banned is not None:
        masked = torch.zeros(scores.shape, dtype=torch.bool, device=scores.device)
        masked.index_fill_(1, banned, value=True).scatter_(1, chosen, value=False)
        scores = scores.masked_fill(masked, float("-inf"))
    logs = scores.log_softmax(-1)
    with torch.no_grad():
        entropy = torch.special.entr(logs.exp()).sum(-1)
    return logs.gather(1, chosen).squeeze(1), entropy
