"""A run's rewards as curves: means, moving averages, bands and sums per round, thinned for drawing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from swarm_ray.experiments.read.compare import ClosedStage, mean
from swarm_ray.records.state import StageClosed

Series = list[float | None]
MOST_SMOOTHED = 100
"""Rounds of the SAPO paper's moving average."""


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


def curves_of(stages: Sequence[ClosedStage | StageClosed], window: int | None = None) -> Curves:
    """What is drawn of one experiment.

    Args:
        stages: as they closed, from the state log or `experiment_history`.
        window: rounds of the moving average; None takes a tenth of the rounds, 100 at most.
    """
    by_round: dict[int, list[Mapping[str, float]]] = {}
    for stage in stages:
        by_round.setdefault(stage.round, []).append(stage.rewards)
    rounds = sorted(by_round)
    groups = [by_round[number] for number in rounds]
    size = window or max(1, min(MOST_SMOOTHED, len(rounds) // 10))
    nodes = sorted({node for stage in stages for node in stage.rewards})
    smoothed = [moving_average([mean(_of_node(group, node)) for group in groups], size) for node in nodes]
    columns = list(zip(*smoothed, strict=True)) or [()] * len(rounds)
    raw = [mean(_all(group)) for group in groups]
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
    return [mean(values[max(0, place - before) : place - before + window]) for place in range(len(values))]


def _all(group: Sequence[Mapping[str, float]]) -> list[float]:
    return [reward for rewards in group for reward in rewards.values()]


def _of_node(group: Sequence[Mapping[str, float]], node: str) -> list[float]:
    return [rewards[node] for rewards in group if node in rewards]


def _there(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def with_gaps(values: Sequence[float | None], places: Iterable[int] | None = None) -> list[float]:
    """Values as matplotlib draws them, not a number in place of None; those at `places`, or all."""
    chosen = values if places is None else [values[place] for place in places]
    return [math.nan if value is None else value for value in chosen]


Point = tuple[float, float | None]
STRETCHES = 240
"""A figure of the report is a few hundred units wide, so that more cannot be told apart."""


def thin(points: Sequence[Point], stretches: int = STRETCHES) -> list[Point]:
    """Keep the first, the last, the lowest and the highest point of each stretch, in their order.

    Args:
        points: x and y, with x rising; y is None in a gap, and the gap is kept.
        stretches: into so many parts of equal count the points are cut; short lines stay as they are.
    """
    if len(points) <= 4 * stretches:
        return list(points)
    kept: set[int] = set()
    for first, last in pairwise(len(points) * k // stretches for k in range(stretches + 1)):
        there = [(y, i) for i, (_, y) in enumerate(points[first:last], first) if y is not None]
        gaps = [i for i, (_, y) in enumerate(points[first:last], first) if y is None]
        kept |= {first, last - 1, *gaps[:1]}
        if there:
            kept |= {min(there)[1], max(there, key=lambda point: point[0])[1]}
    return [points[place] for place in sorted(kept)]


def thin_evenly(count: int, most: int = 2 * STRETCHES) -> list[int]:
    """Places of at most `most` of `count` points, evenly spread, the first and the last among them.

    For lines that are smooth already, and for bands, whose two edges must keep the same places.
    """
    spread = {round(k * (count - 1) / (most - 1)) for k in range(most)}
    return list(range(count)) if count <= most else sorted(spread)
