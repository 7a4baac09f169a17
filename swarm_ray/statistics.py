"""How sure a difference is: bootstrap intervals, the Mann-Whitney U test and effect sizes, by scipy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

RESAMPLES = 9999
CONFIDENCE = 0.95


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
    """Of the two-sided Mann-Whitney test."""
    superiority: float
    """u over the number of pairs: the chance that a value of the second sample is the larger one."""
    cohens_d: float | None
    """Difference of the means in pooled standard deviations; None where that is 0 or unknown."""


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
    means = _resampled_means(values, np.random.default_rng(seed))
    low, high = _percentiles(means, confidence)
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
    test = stats.mannwhitneyu(second, first, alternative="two-sided")
    low = high = None
    if min(len(first), len(second)) > 1:
        draw = np.random.default_rng(seed)
        low, high = _percentiles(_resampled_means(second, draw) - _resampled_means(first, draw), confidence)
    return Difference(
        mean=means[1] - means[0],
        low=low,
        high=high,
        ratio=means[1] / means[0] if means[0] > 0 else None,
        u=float(test.statistic),
        p=float(test.pvalue),
        superiority=float(test.statistic) / (len(first) * len(second)),
        cohens_d=_cohens_d(first, second),
    )


def _resampled_means(values: Sequence[float], draw: np.random.Generator) -> np.ndarray:
    """Means of `RESAMPLES` samples with replacement, [RESAMPLES]."""
    array = np.asarray(values, dtype=float)
    return np.asarray(draw.choice(array, size=(RESAMPLES, len(array))).mean(axis=1))


def _percentiles(means: np.ndarray, confidence: float) -> tuple[float, float]:
    rest = (1 - confidence) / 2
    low, high = np.quantile(means, [rest, 1 - rest])
    return float(low), float(high)


def _cohens_d(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Cohen's d with the pooled standard deviation; needs two values in each sample."""
    if min(len(first), len(second)) < 2:
        return None
    n, m = len(first), len(second)
    pooled = math.sqrt(((n - 1) * np.var(first, ddof=1) + (m - 1) * np.var(second, ddof=1)) / (n + m - 2))
    return float((np.mean(second) - np.mean(first)) / pooled) if pooled > 0 else None
