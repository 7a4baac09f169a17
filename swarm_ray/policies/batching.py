"""Splitting an update's groups into passes that fit in memory; their gradients add up to the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from swarm_ray.policies.logprobs import Layout, TokenGroup


@dataclass(frozen=True)
class TrainingGroup:
    """A question with completions and their advantages; tokens where the policy itself sampled them."""

    tokens: TokenGroup
    advantages: tuple[float, ...]

    @property
    def teaches(self) -> bool:
        """Whether it has a gradient: an advantage, and a token to lay it on."""
        return any(self.advantages) and self.tokens.completion_tokens > 0


def micro_batches(
    groups: Iterable[TrainingGroup], layout: Layout, most_tokens: int
) -> Iterator[list[TrainingGroup]]:
    """The groups in batches whose rows, padding included, hold at most `most_tokens`.

    Groups of similar length come together, which saves padding. A group that is too large by itself is
    divided by completions; one completion is never divided, however long.
    """
    pieces = [piece for group in groups for piece in _pieces(group, layout, most_tokens)]
    pieces.sort(key=lambda piece: _area([piece], layout))
    batch: list[TrainingGroup] = []
    for piece in pieces:
        if batch and _area([*batch, piece], layout) > most_tokens:
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch


def _pieces(group: TrainingGroup, layout: Layout, most_tokens: int) -> Iterator[TrainingGroup]:
    count = len(group.advantages)
    if count < 2 or _area([group], layout) <= most_tokens:
        yield group
        return
    prompt, completions = group.tokens.prompt, group.tokens.completions
    for part in (slice(0, count // 2), slice(count // 2, count)):
        half = TrainingGroup(TokenGroup(prompt, completions[part]), group.advantages[part])
        if half.tokens.completion_tokens:
            yield from _pieces(half, layout, most_tokens)


def _area(groups: Sequence[TrainingGroup], layout: Layout) -> int:
    """Tokens of the rows that these groups are laid into, padding included."""
    if layout is Layout.PACKED:
        return len(groups) * max(len(g.tokens.prompt) + g.tokens.completion_tokens for g in groups)
    longest = max(len(g.tokens.prompt) + max(map(len, g.tokens.completions)) for g in groups)
    return longest * sum(len(g.tokens.completions) for g in groups)
