"""Splitting an update's groups into passes that fit in memory; their gradients add up to the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from swarm_ray.policies.logprobs import Layout, TokenGroup


def micro_batches(
    groups: Iterable[TokenGroup], layout: Layout, most_tokens: int
) -> Iterator[list[TokenGroup]]:
    """The groups in batches whose rows, padding included, hold at most `most_tokens`.

    Groups of similar length come together, which saves padding. A group that is too large by itself is
    divided by completions; one completion is never divided, however long.
    """
    pieces = [piece for group in groups for piece in _pieces(group, layout, most_tokens)]
    pieces.sort(key=lambda piece: _area([piece], layout))
    batch: list[TokenGroup] = []
    for piece in pieces:
        if batch and _area([*batch, piece], layout) > most_tokens:
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch


def _pieces(group: TokenGroup, layout: Layout, most_tokens: int) -> Iterator[TokenGroup]:
    count = len(group.advantages)
    if count < 2 or _area([group], layout) <= most_tokens:
        yield group
        return
    for part in (slice(0, count // 2), slice(count // 2, count)):
        half = TokenGroup(group.prompt, group.completions[part], group.advantages[part])
        if half.completion_tokens:
            yield from _pieces(half, layout, most_tokens)


def _area(groups: Sequence[TokenGroup], layout: Layout) -> int:
    """Tokens of the rows that these groups are laid into, padding included."""
    if layout is Layout.PACKED:
        return len(groups) * max(len(g.prompt) + g.completion_tokens for g in groups)
    longest = max(len(g.prompt) + max(map(len, g.completions)) for g in groups)
    return longest * sum(len(g.completions) for g in groups)
