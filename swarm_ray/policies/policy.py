"""One node's policy: a causal language model with its tokenizer and optimizer; it generates and it learns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache

import torch

from swarm_ray.config.schema import GrpoConfig, PolicyConfig
from swarm_ray.errors import NodeFailure
from swarm_ray.machine.cancellation import no_pulse
from swarm_ray.policies.batching import TrainingGroup, micro_batches
from swarm_ray.policies.generate import Completed, Sampling, sample_completions
from swarm_ray.policies.logprobs import Layout, TokenGroup, completion_logprobs, lay_out
from swarm_ray.policies.prompts import Asked, PromptFormat
from swarm_ray.policies.transformers_models import CausalModel, TextTokenizer, context_length
from swarm_ray.sapo.grpo import clipped_surrogate

__all__ = ["Generated", "Policy", "TrainingGroup", "UpdateStats"]
_REMEMBERED = 4096
"""Texts whose tokens are kept: short answers repeat, and encoding is a third of a tiny model's decode."""


@dataclass(frozen=True)
class Generated:
    """One completion of the policy, as text and as the tokens that were sampled."""

    text: str
    ids: tuple[int, ...]
    """With the sampled end-of-sequence token at the end where it was finished."""
    finished: bool
    reencodes: bool
    """Whether encoding the text again gives the sampled tokens; what peers train on is the text."""


@dataclass(frozen=True)
class UpdateStats:
    """What one policy-gradient step did."""

    loss: float
    clip_share: float
    """Share of tokens on which the clip acted."""
    entropy: float
    """Mean over the trained tokens, nats."""
    grad_norm: float
    tokens: int
    """Completion tokens of all groups, those without advantage included."""


class Policy:
    """A model on a device with Adam, in the layout that the probe found.

    The model stays in eval mode: dropout would blur log-probs and draw from a global random stream.
    `model.state_dict()` and `optimizer.state_dict()` are all that a checkpoint of the policy needs.
    """

    def __init__(
        self,
        model: CausalModel,
        tokenizer: TextTokenizer,
        prompt: PromptFormat,
        sampling: Sampling,
        layout: Layout,
        config: PolicyConfig,
        grpo: GrpoConfig,
        device: torch.device,
    ) -> None:
        self.model, self.tokenizer, self.layout, self.device = model, tokenizer, layout, device
        self._sampling, self._config, self._grpo = sampling, config, grpo
        self.pulse: Callable[[], None] = no_pulse
        """Called at every token and every pass; what it raises ends them, with weights and optimizer as before."""
        self._prompt = lru_cache(_REMEMBERED)(prompt)
        self._text_ids = lru_cache(_REMEMBERED)(self._encode_text)
        model.eval()
        self.optimizer = torch.optim.Adam(
            model.parameters(),
            lr=grpo.learning_rate,
            betas=(grpo.beta1, grpo.beta2),
            eps=grpo.adam_epsilon,
            fused=True,
        )

    @property
    def sampling(self) -> Sampling:
        """How it decodes."""
        return self._sampling

    def use(self, grpo: GrpoConfig) -> None:
        """Learn with other settings from the next update on."""
        self._grpo = grpo
        for group in self.optimizer.param_groups:
            group["lr"] = grpo.learning_rate

    def generate(self, questions: Sequence[Asked], copies: int, seed: int) -> list[list[Generated]]:
        """`copies` completions of each question from one batched decode (split by `policy.generate_batch`).

        Raises:
            NodeFailure: a prompt leaves no room for a completion, or the logits are not finite.
        """
        stream = torch.Generator(device=self.device).manual_seed(seed)
        prompts = [self._prompt_ids(question) for question in questions]
        most = self._config.generate_batch
        per_batch = max(1, most // copies)
        found: list[list[Generated]] = []
        for start in range(0, len(prompts), per_batch):
            batch = prompts[start : start + per_batch]
            rows: list[list[Generated]] = [[] for _ in batch]
            for share in _shares(copies, most):
                with self._autocast():
                    sampled = sample_completions(self.model, batch, share, self._sampling, stream, self.pulse)
                for row, completed in zip(rows, sampled, strict=True):
                    row.extend(map(self._generated, completed))
            found += rows
        return found

    def _generated(self, completed: Completed) -> Generated:
        text = self.tokenizer.decode(completed.ids, skip_special_tokens=False)
        ids = completed.ids if completed.eos is None else (*completed.ids, completed.eos)
        return Generated(text, ids, completed.finished, self._text_ids(text) == completed.ids)

    def own_group(self, question: Asked, completions: Sequence[Generated]) -> TokenGroup:
        """A group of the policy's own completions, with the tokens it sampled."""
        return TokenGroup(self._prompt_ids(question), tuple(c.ids for c in completions))

    def external_group(self, question: Asked, completions: Sequence[tuple[str, bool]]) -> TokenGroup:
        """Another node's completions (text, finished), encoded as if this policy had produced them.

        A text longer than this policy's own completions may be is cut, and then counts as not finished.

        Raises:
            NodeFailure: the prompt leaves no room for a completion.
        """
        return TokenGroup(self._prompt_ids(question), tuple(self.encode(*c) for c in completions))

    def encode(self, text: str, finished: bool) -> tuple[int, ...]:
        """A completion's tokens as the text gives them, cut to the longest that this policy makes."""
        ids = self._text_ids(text)
        if finished:
            ids = (*ids, self._sampling.eos_ids[0])
        return ids[: self._sampling.max_new_tokens]

    def _encode_text(self, text: str) -> tuple[int, ...]:
        """A text's tokens; the name of a special token in it is spelled out, since a peer may write any."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))

    def has_room(self, question: Asked) -> bool:
        """Whether the question's prompt and a longest completion fit into the model's context."""
        room = context_length(self.model)
        return room is None or len(self._prompt(question)) + self._sampling.max_new_tokens <= room

    def _prompt_ids(self, question: Asked) -> tuple[int, ...]:
        ids = self._prompt(question)
        if not self.has_room(question):
            room, most = context_length(self.model), self._sampling.max_new_tokens
            raise NodeFailure(
                f"a prompt of {len(ids)} tokens and a completion of up to {most} are longer than the model's "
                f"context of {room}; lower policy.max_new_tokens, or choose shorter questions"
            )
        return ids

    def update(self, groups: Sequence[TrainingGroup]) -> UpdateStats:
        """One Adam step on the token mean over `groups`; none where no group has an advantage.

        Groups without advantage have no gradient, so they are not computed; their tokens still count in the
        mean.

        Raises:
            NodeFailure: the loss or the gradient is not finite; weights and optimizer are as before.
        """
        total = max(1, sum(g.tokens.completion_tokens for g in groups))
        loss = clipped = entropy = 0.0
        trained = 0
        self.optimizer.zero_grad(set_to_none=True)
        teaching = [g for g in groups if g.teaches]
        for batch in micro_batches(teaching, self.layout, self._config.micro_batch_tokens):
            self.pulse()
            part, bound, spread, tokens = self._forward(batch)
            torch.autograd.backward(part / total)
            loss += part.item() / total
            clipped, entropy, trained = clipped + bound.item(), entropy + spread.item(), trained + tokens
        norm = self._grad_norm()
        if not (math.isfinite(norm) and math.isfinite(loss)):
            self.optimizer.zero_grad(set_to_none=True)
            raise NodeFailure(
                f"the loss ({loss}) or its gradient's norm ({norm}) is not finite; "
                "lower grpo.learning_rate or set grpo.max_grad_norm"
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        seen = max(trained, 1)
        return UpdateStats(
            loss, clipped / seen, entropy / seen, norm, sum(g.tokens.completion_tokens for g in groups)
        )

    def _forward(
        self, batch: Sequence[TrainingGroup]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
        """Summed loss, clipped tokens, summed entropy and count of tokens of one pass."""
        dtype = next(self.model.parameters()).dtype
        rows = lay_out([g.tokens for g in batch], self.layout, self._sampling.pad_id, self.device, dtype)
        advantages = torch.tensor(list(_token_advantages(batch)), device=self.device)
        with self._autocast():
            logprobs, entropy = completion_logprobs(self.model, rows, self.layout, self._config.temperature)
        grpo = self._grpo
        loss, clipped = clipped_surrogate(
            logprobs, logprobs.detach(), advantages, grpo.clip_low, grpo.clip_high
        )
        return loss, clipped, entropy.sum(), len(rows.targets)

    def _grad_norm(self) -> float:
        """Of all gradients together, before they are clipped to `grpo.max_grad_norm`."""
        parameters = list(self.model.parameters())
        if self._grpo.max_grad_norm is not None:
            return float(torch.nn.utils.clip_grad_norm_(parameters, self._grpo.max_grad_norm))
        return float(torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))

    def _autocast(self) -> AbstractContextManager[object]:
        if self._config.dtype == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


def _shares(copies: int, most: int) -> Iterator[int]:
    """`copies` in portions of at most `most`."""
    for start in range(0, copies, most):
        yield min(most, copies - start)


def _token_advantages(batch: Sequence[TrainingGroup]) -> Iterator[float]:
    """The advantage of each completion token, in the order of the rows' targets."""
    for group in batch:
        for advantage, ids in zip(group.advantages, group.tokens.completions, strict=True):
            for _ in ids:
                yield advantage
