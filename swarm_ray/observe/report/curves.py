"""What a picture of a run shows, as numbers: means, moving averages, bands and sums per round."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

Series = list[float | None]
MOST_SMOOTHED = 100
"""Rounds of the SAPO paper's moving average."""


class RewardedStage(Protocol):
    """A stage that closed, as the state log or `experiment_history` has it."""

    @property
    def round(self) -> int:
        """The round it belongs to."""
        ...

    @property
    def rewards(self) -> Mapping[str, float]:
        """Node to the mean raw reward of its own completions."""
        ...


@dataclass(frozen=True)
class Curves:
    """One experiment; each list has one value per round that closed, None where nothing counted."""

    rounds: list[int]
    raw: Series
    """Mean own reward over the nodes."""
    smooth: Series
    """Its moving average."""
    lowest: Series
    """The smallest of the nodes' own moving averages."""
    highest: Series
    """The largest of them."""
    cumulative: list[float]
    """Sum over nodes and rounds so far."""
    window: int
    """Rounds of the moving average."""


def curves_of(stages: Sequence[RewardedStage], window: int | None = None) -> Curves:
    """What is drawn of one experiment.

    Args:
        stages: as they closed.
        window: rounds of the moving average; None takes a tenth of the rounds, 100 at most.
    """
    by_round: dict[int, list[Mapping[str, float]]] = {}
    for stage in stages:
        by_round.setdefault(stage.round, []).append(stage.rewards)
    rounds = sorted(by_round)
    groups = [by_round[number] for number in rounds]
    size = window or max(1, min(MOST_SMOOTHED, len(rounds) // 10))
    nodes = sorted({node for stage in stages for node in stage.rewards})
    smoothed = [moving_average([_mean(_of_node(group, node)) for group in groups], size) for node in nodes]
    columns = list(zip(*smoothed, strict=True)) or [()] * len(rounds)
    raw = [_mean(_all(group)) for group in groups]
    return Curves(
        rounds=rounds,
        raw=raw,
        smooth=moving_average(raw, size),
        lowest=[min(_there(column), default=None) for column in columns],
        highest=[max(_there(column), default=None) for column in columns],
        cumulative=list(accumulate(math.fsum(_all(group)) for group in groups)),
        window=size,
    )


def moving_average(values: Sequence[float | None], window: int) -> Series:
    """For each place the mean of the `window` values around it, fewer at both ends.

    It is centred, so that it does not lag behind what it smooths. Values that are None are left out; where
    all are, the mean is None.
    """
    before = window // 2
    return [
        _mean(_there(values[max(0, place - before) : place - before + window]))
        for place in range(len(values))
    ]


def _all(group: Sequence[Mapping[str, float]]) -> list[float]:
    return [reward for rewards in group for reward in rewards.values()]


def _of_node(group: Sequence[Mapping[str, float]], node: str) -> list[float]:
    return [rewards[node] for rewards in group if node in rewards]


def _there(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
