"""What a model can do, found at the start by comparing numbers, not by the model's name."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from swarm_ray.config.schema import PolicyConfig
from swarm_ray.errors import ModelError, NodeFailure
from swarm_ray.policies.generate import Sampling, sample_completions
from swarm_ray.policies.logprobs import Layout, TokenGroup, completion_logprobs, lay_out
from swarm_ray.policies.transformers_models import CausalModel, attention_window, text_setting

TOLERANCE = 1e-4
"""Largest error of a log-prob, nats."""
MOST_REGRET = 0.01
"""How much less likely (nats) than the likeliest token a greedily decoded one may be."""
_REFUSALS = (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError)
"""With these an architecture answers inputs that it does not take."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread of torch meanwhile.

    Passes over a few tokens gain nothing by more, and on a busy machine threads that wait for each other take a hundred
    times as long.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def probe_layout(model: CausalModel, pad: int, config: PolicyConfig, device: torch.device) -> Layout:
    """The fastest layout whose log-probs agree with one completion at a time, unpadded, to 1e-4 nats.

    Deep models err by more than that in any layout, so one passes too when it errs at most twice as much as
    the padded rows through the model's own head do. The comparison is made in float32, where a wrong mask
    cannot hide in noise; where the policy computes in bfloat16, the layout must run under autocast too. Packed
    rows have a mask of their own, which would undo a sliding window, so models with one are not packed. Costs
    up to ten passes over at most 60 tokens.
    """
    groups = _probe_groups(int(text_setting(model, "vocab_size")), pad)
    expected = _one_by_one(model, groups, device)
    error = {layout: _error(model, groups, layout, expected, pad=pad, device=device) for layout in Layout}
    allowed = max(TOLERANCE, 2 * error[Layout.PADDED_FULL])
    reduced = config.dtype == "bfloat16"
    packing = config.packing == "auto" and attention_window(model) is None
    candidates = (Layout.PACKED, Layout.PADDED) if packing else (Layout.PADDED,)
    for layout in candidates:
        if error[layout] <= allowed and (not reduced or _runs_reduced(model, groups, layout, pad, device)):
            return layout
    return Layout.PADDED_FULL


def _probe_groups(vocabulary: int, pad: int) -> list[TokenGroup]:
    stream = random.Random(0)
    tokens = [t for t in range(min(vocabulary, 5000)) if t != pad]

    prompt, *rest = [tuple(stream.choices(tokens, k=length)) for length in (7, 5, 1, 3, 3, 2, 6)]
    return [TokenGroup(prompt, tuple(rest[:3])), TokenGroup(rest[3], tuple(rest[4:]))]


@torch.no_grad()
def _one_by_one(model: CausalModel, groups: list[TokenGroup], device: torch.device) -> torch.Tensor:
    found = []
    for group in groups:
        for completion in group.completions:
            logs = _log_probs(model, [*group.prompt, *completion], device)
            found += [logs[i, token] for i, token in enumerate(completion, start=len(group.prompt) - 1)]
    return torch.stack(found)


def _log_probs(model: CausalModel, ids: list[int], device: torch.device) -> torch.Tensor:
    logits = model(input_ids=torch.tensor([ids], device=device), use_cache=False).logits[0]
    return torch.log_softmax(logits.float(), -1)


@torch.no_grad()
def _error(
    model: CausalModel,
    groups: list[TokenGroup],
    layout: Layout,
    expected: torch.Tensor,
    *,
    pad: int,
    device: torch.device,
) -> float:
    try:
        rows = lay_out(groups, layout, pad, device)
        found, _ = completion_logprobs(model, rows, layout, temperature=1.0)
    except _REFUSALS:
        if layout is Layout.PADDED_FULL:
            raise
        return math.inf
    return float((found - expected).abs().max())


def _runs_reduced(
    model: CausalModel, groups: list[TokenGroup], layout: Layout, pad: int, device: torch.device
) -> bool:
    anything = torch.zeros((), device=device)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        return math.isfinite(_error(model, groups, layout, anything, pad=pad, device=device))


@one_thread()
@torch.no_grad()
def require_decoder(model: CausalModel, pad: int, device: torch.device) -> None:
    """Makes sure that completions decoded in one batch are those that the model would give alone.

    Two prompts of different lengths are decoded greedily; each token must be a likeliest one, to 0.01 nats,
    of an unpadded pass without a cache. Models that look ahead, or take no left padding or no cache, fail
    here and not in what they learn.

    Raises:
        ModelError: the model does not decode in batches, or its logits are not finite.
    """
    prompts = [g.prompt for g in _probe_groups(int(text_setting(model, "vocab_size")), pad)]
    greedy = Sampling(max_new_tokens=4, temperature=1e-4, eos_ids=(), pad_id=pad)
    try:
        stream = torch.Generator(device=device).manual_seed(0)
        found = sample_completions(model, prompts, 2, greedy, stream)
    except _REFUSALS as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"this architecture does not decode in batches ({reason}); choose another"
        ) from error
    except NodeFailure as error:
        raise ModelError("the model's logits are not finite before any training; choose another") from error
    regret = max(_regret(model, p, ids, device) for p, row in zip(prompts, found, strict=True) for ids in row)
    if not regret <= MOST_REGRET:
        raise ModelError(
            "this architecture decodes otherwise in a batch than alone (it is not a causal language model, or "
            f"takes no left padding): a token is {regret:.3g} nats from the likeliest; choose another"
        )


def _regret(
    model: CausalModel, prompt: tuple[int, ...], completion: tuple[int, ...], device: torch.device
) -> float:
    """How far a token of the completion is from the likeliest at most, nats, predicted without its future."""
    worst = 0.0
    for i, token in enumerate(completion):
        logs = _log_probs(model, [*prompt, *completion[:i]], device)[-1]
        worst = max(worst, float(logs.max() - logs[token]))
    return worst
