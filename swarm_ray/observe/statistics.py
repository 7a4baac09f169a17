"""How sure a difference is: bootstrap intervals, the Mann-Whitney U test, effect sizes, and many tests at once.

Intervals of few values are too short, whatever confidence they are asked for: one of three values lies between the
smallest and the largest, and `interval_coverage` says how often such a one holds the mean.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)

LEVEL = 0.05
"""A p above it is not evidence of a difference."""
RESAMPLES = 9999
CONFIDENCE = 0.95
MOST_ARRANGED = 20_000
"""Arrangements of two samples that are counted one by one; 8 and 8 values have 12,870."""
_COVERAGE = {2: 0.50, 3: 0.74, 4: 0.80, 5: 0.84, 6: 0.85, 8: 0.88, 10: 0.90, 15: 0.92, 20: 0.93}
"""Number of values to the share of intervals asked for with 95 % that hold the mean: 4,000 simulated samples each, of
normally distributed values; of skewed ones it is less. tests/sweeps/test_statistics.py simulates some again."""


@dataclass(frozen=True)
class Interval:
    """A mean, and between what it lies; without bounds where there is one value only."""

    mean: float
    low: float | None
    high: float | None
    count: int
    """Values that went in."""
    spread: float | None
    """Standard deviation, unbiased; None of one value."""


@dataclass(frozen=True)
class Difference:
    """How the second of two samples differs from the first."""

    mean: float
    """Mean of the second less mean of the first."""
    low: float | None
    """Of the bootstrap interval of that difference; None where a sample has one value only."""
    high: float | None
    ratio: float | None
    """Of the means; None where the first is not above 0."""
    u: float
    """Mann-Whitney U of the second sample: pairs in which it is larger, ties counting half."""
    p: float
    """Of the two-sided Mann-Whitney test: exact for small samples, with ties too."""
    superiority: float
    """u over the number of pairs: the chance that a value of the second sample is the larger one."""
    cohens_d: float | None
    """Difference of the means in pooled standard deviations; None where that is 0 or unknown. Of few values it is too
    large on the average, by 25 % for 3 and 3 (Hedges 1981)."""


@dataclass(frozen=True)
class PairedDifference:
    """How the second values of pairs differ from the first ones."""

    mean: float
    low: float | None
    """Of the bootstrap interval over pairs; None of one pair."""
    high: float | None
    ratio: float | None
    """Of the means, over the pairs; None where that of the first values is not above 0."""
    count: int
    """Pairs."""
    correlation: float | None
    """Pearson's, between both values of a pair: what pairing gains. None of fewer than 3 pairs, or without spread."""


def interval(values: Sequence[float], *, confidence: float = CONFIDENCE, seed: int = 0) -> Interval | None:
    """The mean with its percentile bootstrap interval (Efron 1979); None of nothing.

    Args:
        values: independent of each other; one number per run, say.
        confidence: the share of intervals that hold the mean.
        seed: of the resampling, so that the same values give the same interval.
    """
    if not values:
        return None
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return Interval(mean, None, None, 1, None)
    low, high = _bootstrapped((values,), np.mean, confidence, seed)
    return Interval(mean, low, high, len(values), float(np.std(values, ddof=1)))


def difference(
    first: Sequence[float], second: Sequence[float], *, confidence: float = CONFIDENCE, seed: int = 0
) -> Difference | None:
    """Compare two independent samples; None where one is empty.

    Args:
        first: of the baseline.
        second: of what is compared with it.
        confidence: of the interval.
        seed: of the resampling.
    """
    if not first or not second:
        return None
    means = math.fsum(first) / len(first), math.fsum(second) / len(second)
    u, p = _mann_whitney(first, second)
    low = high = None
    if min(len(first), len(second)) > 1:
        low, high = _bootstrapped((second, first), _mean_difference, confidence, seed)
    return Difference(
        mean=means[1] - means[0],
        low=low,
        high=high,
        ratio=means[1] / means[0] if means[0] > 0 else None,
        u=u,
        p=p,
        superiority=u / (len(first) * len(second)),
        cohens_d=_cohens_d(first, second),
    )


def paired_difference(
    first: Sequence[float], second: Sequence[float], *, confidence: float = CONFIDENCE, seed: int = 0
) -> PairedDifference | None:
    """Compare two values of each pair, such as two settings under one seed; None of no pairs.

    The interval is right whether the values of a pair depend on each other or not; that of `difference` takes their
    independence for granted.

    Args:
        first: of the baseline, one per pair.
        second: of what is compared with it, in the same order.
        confidence: of the interval.
        seed: of the resampling.

    Raises:
        ValueError: they are not equally many.
    """
    changes = [b - a for a, b in zip(first, second, strict=True)]
    found = interval(changes, confidence=confidence, seed=seed)
    if found is None:
        return None
    base = math.fsum(first) / len(first)
    return PairedDifference(
        mean=found.mean,
        low=found.low,
        high=found.high,
        ratio=math.fsum(second) / len(second) / base if base > 0 else None,
        count=found.count,
        correlation=_correlation(first, second),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p values of several tests, so that each may be read as if it were the only one (Holm 1979).

    Returns:
        Adjusted p values in the order of `p_values`, at most 1.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    scaled = np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return [float(p) for p in adjusted]


def adjusted_p(tests: Mapping[Key, Difference | None]) -> dict[Key, float]:
    """The p values of all comparisons with one baseline, adjusted for their number by `holm`.

    Args:
        tests: what is compared, to its test; None where nothing could be tested, which does not count.
    """
    known = {key: test.p for key, test in tests.items() if test is not None}
    return dict(zip(known, holm(list(known.values())), strict=True))


def smallest_p(first: int, second: int) -> float:
    """The smallest p that a two-sided Mann-Whitney test of so many values can give, however far apart they lie."""
    return min(1.0, 2 / math.comb(first + second, first))


def interval_coverage(count: int) -> float | None:
    """How often an interval of `count` values, asked for with 95 %, holds the mean; None of fewer than 2 values."""
    return _COVERAGE.get(max((number for number in _COVERAGE if number <= count), default=0))


def _mann_whitney(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """U of the second sample, and its two-sided p.

    Small samples are arranged in every possible way. The normal approximation, which scipy takes as soon as two values
    are equal, gives 0.047 for 1, 1, 1 and 2, 2, 2, where 2 of 20 arrangements are as far apart: 0.1.
    """
    from scipy import stats  # here, since it takes a second to load

    if math.comb(len(first) + len(second), len(first)) > MOST_ARRANGED:
        test = stats.mannwhitneyu(second, first, alternative="two-sided")
        return float(test.statistic), float(test.pvalue)
    count = len(second)
    ranks = stats.rankdata([*second, *first])
    sums = [math.fsum(chosen) for chosen in itertools.combinations(ranks, count)]
    middle = math.fsum(ranks) * count / len(ranks)
    far = abs(sums[0] - middle)
    extreme = sum(abs(one - middle) >= far - 1e-9 for one in sums)
    return sums[0] - count * (count + 1) / 2, extreme / len(sums)


def _correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    if len(first) < 3 or min(np.ptp(first), np.ptp(second)) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _mean_difference(second: np.ndarray, first: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray(second.mean(axis=axis) - first.mean(axis=axis))


def _bootstrapped(
    samples: tuple[Sequence[float], ...], of: Callable[..., np.ndarray], confidence: float, seed: int
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of independent samples."""
    from scipy import stats  # here, since it takes a second to load

    draw = np.random.default_rng(seed)
    found = stats.bootstrap(
        samples,
        of,
        n_resamples=RESAMPLES,
        confidence_level=confidence,
        method="percentile",
        random_state=draw,
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _cohens_d(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Cohen's d with the pooled standard deviation; needs two values in each sample."""
    if min(len(first), len(second)) < 2:
        return None
    n, m = len(first), len(second)
    pooled = math.sqrt(((n - 1) * np.var(first, ddof=1) + (m - 1) * np.var(second, ddof=1)) / (n + m - 2))
    return float((np.mean(second) - np.mean(first)) / pooled) if pooled > 0 else None
