"""One node's policy: a causal language model with its tokenizer and optimizer; it generates and it learns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import torch

from swarm_ray.config.schema import GrpoConfig, PolicyConfig
from swarm_ray.errors import NodeFailure
from swarm_ray.machine.cancellation import never_cancelled
from swarm_ray.policies.batching import micro_batches
from swarm_ray.policies.generate import Sampling, sample_completions
from swarm_ray.policies.logprobs import Layout, TokenGroup, completion_logprobs, lay_out
from swarm_ray.policies.prompts import Asked, PromptFormat
from swarm_ray.policies.transformers_models import CausalModel, TextTokenizer, context_length

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Given the log-probs of tokens, the same before the update, and the tokens' advantages, all of shape [tokens]: the
loss summed over tokens, and how many tokens a clip bound."""
_REMEMBERED = 4096
"""Texts whose tokens are kept: short answers repeat, and encoding is a third of a tiny model's decode."""


@dataclass(frozen=True)
class SampledCompletion:
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


@dataclass(frozen=True)
class LanguageModel:
    """A model with its tokenizer, how it is asked, and how its completions end."""

    model: CausalModel
    tokenizer: TextTokenizer
    prompt: PromptFormat
    eos_ids: tuple[int, ...]
    """Any of these ends a completion; the first is the one that closes the text of another node."""
    banned_ids: tuple[int, ...] = ()
    """Tokens that are never sampled: padding, the markers of a prompt, ids without a text."""

    def sampling(self, config: PolicyConfig) -> Sampling:
        """How it decodes with these settings."""
        return Sampling(
            config.max_new_tokens,
            config.temperature,
            self.eos_ids,
            self.tokenizer.pad_token_id,
            self.banned_ids,
        )


class Policy:
    """A model on a device with Adam, in the layout that the probe found.

    The model stays in eval mode: dropout would blur log-probs and draw from a global random stream.
    `model.state_dict()` and `optimizer.state_dict()` are all that a checkpoint of the policy needs.

    Args:
        language: its model is on the device, and is the policy's own from here on.
        config: how it decodes.
        grpo: how it learns.
        device: where it lives.
        layout: of the rows in its updates.
    """

    def __init__(
        self,
        language: LanguageModel,
        config: PolicyConfig,
        grpo: GrpoConfig,
        device: torch.device,
        layout: Layout,
    ) -> None:
        self.model, self.tokenizer = language.model, language.tokenizer
        self.layout, self.device = layout, device
        self._config, self.grpo = config, grpo
        self.sampling = language.sampling(config)
        """How it decodes."""
        self._banned = torch.tensor(self.sampling.banned_ids, device=device, dtype=torch.long)
        self.check_cancelled: Callable[[], None] = never_cancelled
        """Called at every token and every pass; what it raises ends them, with weights and optimizer as before."""
        self._prompt = lru_cache(_REMEMBERED)(language.prompt)
        self._text_ids = lru_cache(_REMEMBERED)(self._encode_text)
        self.model.eval()
        self.optimizer = torch.optim.Adam(
            self.model.parameters(),
            lr=grpo.learning_rate,
            betas=(grpo.beta1, grpo.beta2),
            eps=grpo.adam_epsilon,
            fused=True,
        )

    def use(self, grpo: GrpoConfig) -> None:
        """Learn with other settings from the next update on."""
        self.grpo = grpo
        for group in self.optimizer.param_groups:
            group.update(lr=grpo.learning_rate, betas=(grpo.beta1, grpo.beta2), eps=grpo.adam_epsilon)

    def generate(self, questions: Sequence[Asked], copies: int, seed: int) -> list[list[SampledCompletion]]:
        """`copies` completions of each question from one batched decode (split by `policy.generate_batch`).

        Raises:
            NodeFailure: a prompt leaves no room for a completion, or the logits are not finite.
        """
        stream = torch.Generator(device=self.device).manual_seed(seed)
        prompts = [self._prompt_ids(question) for question in questions]
        most = self._config.generate_batch
        size, shares = max(1, most // copies), [min(most, copies - done) for done in range(0, copies, most)]
        found: list[list[SampledCompletion]] = []
        for start in range(0, len(prompts), size):
            with self._autocast():
                parts = [
                    sample_completions(
                        self.model,
                        prompts[start : start + size],
                        share,
                        self.sampling,
                        stream,
                        self.check_cancelled,
                    )
                    for share in shares
                ]
            found += [list(map(self._sampled, chain(*rows))) for rows in zip(*parts, strict=True)]
        return found

    def _sampled(self, ids: tuple[int, ...]) -> SampledCompletion:
        finished = ids[-1] in self.sampling.eos_ids
        spoken = ids[:-1] if finished else ids
        text = self.tokenizer.decode(spoken, skip_special_tokens=False)
        return SampledCompletion(text, ids, finished, self._text_ids(text) == spoken)

    def group(
        self, question: Asked, completions: Iterable[tuple[int, ...]], advantages: tuple[float, ...] = ()
    ) -> TokenGroup:
        """A group to learn from: the tokens that this policy sampled, or those that `encode` gives.

        Raises:
            NodeFailure: the prompt leaves no room for a completion.
        """
        return TokenGroup(self._prompt_ids(question), tuple(completions), advantages)

    def encode(self, text: str, *, finished: bool) -> tuple[int, ...]:
        """The tokens of another node's completion, as if this policy had produced it.

        A text longer than this policy's own completions may be is cut, and then counts as not finished.
        """
        end = self.sampling.eos_ids[:1] if finished else ()
        return (*self._text_ids(text), *end)[: self.sampling.max_new_tokens]

    def _encode_text(self, text: str) -> tuple[int, ...]:
        """A text's tokens; the name of a special token in it is spelled out, since a peer may write any."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))

    def has_room(self, question: Asked) -> bool:
        """Whether the question's prompt and a longest completion fit into the model's context."""
        room = context_length(self.model)
        return room is None or len(self._prompt(question)) + self.sampling.max_new_tokens <= room

    def _prompt_ids(self, question: Asked) -> tuple[int, ...]:
        ids = self._prompt(question)
        if not self.has_room(question):
            room, most = context_length(self.model), self.sampling.max_new_tokens
            raise NodeFailure(
                f"a prompt of {len(ids)} tokens and a completion of up to {most} are longer than the model's "
                f"context of {room}; lower policy.max_new_tokens, or choose shorter questions"
            )
        return ids

    def update(self, groups: Sequence[TokenGroup], loss_of: Loss) -> UpdateStats:
        """One Adam step on the token mean of a loss over `groups`.

        Groups without advantage have no gradient, so they are not computed; their tokens still count in the
        mean.

        Args:
            groups: with an advantage per completion.
            loss_of: the loss of tokens, `swarm_ray.sapo.grpo.grpo_loss` say.

        Raises:
            NodeFailure: the loss or the gradient is not finite; weights and optimizer are as before.
        """
        total = sum(g.completion_tokens for g in groups)
        loss = clipped = entropy = 0.0
        trained = 0
        self.optimizer.zero_grad(set_to_none=True)
        teaching = [g for g in groups if g.teaches]
        for batch in micro_batches(teaching, self.layout, self._config.micro_batch_tokens):
            self.check_cancelled()
            part, bound, spread, tokens = self._forward(batch, loss_of)
            torch.autograd.backward(part / total)
            loss += part.item() / total
            clipped, entropy, trained = clipped + bound.item(), entropy + spread.item(), trained + tokens
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        if not (math.isfinite(norm) and math.isfinite(loss)):
            self.optimizer.zero_grad(set_to_none=True)
            raise NodeFailure(
                f"the loss ({loss}) or its gradient's norm ({float(norm)}) is not finite; "
                "lower grpo.learning_rate or set grpo.max_grad_norm"
            )
        if self.grpo.max_grad_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self.model.parameters(), self.grpo.max_grad_norm, norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        seen = max(trained, 1)
        return UpdateStats(loss, clipped / seen, entropy / seen, float(norm), total)

    def _forward(
        self, batch: Sequence[TokenGroup], loss_of: Loss
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
        """Summed loss, clipped tokens, summed entropy and count of tokens of one pass."""
        rows = lay_out(batch, self.layout, self.sampling.pad_id, self.device)
        by_token = [
            advantage
            for group in batch
            for advantage, ids in zip(group.advantages, group.completions, strict=True)
            for _ in ids
        ]
        advantages = torch.tensor(by_token, device=self.device)
        with self._autocast():
            logprobs, entropy = completion_logprobs(
                self.model, rows, self.layout, self.sampling.temperature, self._banned
            )
        loss, clipped = loss_of(logprobs, logprobs.detach(), advantages)
        return loss, clipped, entropy.sum(), len(rows.targets)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self._config.dtype == "bfloat16"
        )
