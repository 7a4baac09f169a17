"""Intervals and tests against scipy's own, against counting by hand, and against what a simulation gives."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from swarm_ray.observe.reference_results import SEED_RESULTS
from swarm_ray.observe.statistics import (
    difference,
    holm,
    interval,
    interval_coverage,
    paired_difference,
    smallest_p,
)

HOW = {"n_resamples": 20_000, "method": "percentile"}
SWARM, ALONE = map(list, SEED_RESULTS.values())


def test_an_interval_is_that_of_scipy() -> None:
    found = interval(SWARM)
    theirs = stats.bootstrap((SWARM,), np.mean, **HOW, rng=np.random.default_rng(3)).confidence_interval
    assert found.mean == pytest.approx(np.mean(SWARM))
    assert found.spread == pytest.approx(np.std(SWARM, ddof=1))
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1)
    assert interval(SWARM) == found


def test_an_interval_is_that_of_all_resamples() -> None:
    values = [0.1, 0.4, 0.5, 2.0]
    means = [np.mean(chosen) for chosen in itertools.product(values, repeat=4)]
    found = interval(values)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.03)
    three = interval([3.0, 1.0, 2.0])
    assert (three.low, three.high) == (1.0, 3.0)


def test_too_few_values_have_no_interval() -> None:
    alone = interval([2.0])
    assert (alone.mean, alone.low, alone.high, alone.spread, alone.count) == (2.0, None, None, None, 1)
    assert interval([]) is None
    assert difference([], [1.0]) is None
    assert paired_difference([], []) is None
    compared = difference([1.0], [2.0, 3.0])
    assert (compared.low, compared.high, compared.cohens_d) == (None, None, None)


def test_a_difference_of_the_means_is_that_of_scipy() -> None:
    found = difference(ALONE, SWARM)
    theirs = stats.bootstrap(
        (SWARM, ALONE),
        lambda a, b, axis: np.mean(a, axis=axis) - np.mean(b, axis=axis),
        **HOW,
        rng=np.random.default_rng(3),
    ).confidence_interval
    assert found.mean == pytest.approx(np.mean(SWARM) - np.mean(ALONE))
    assert found.ratio == pytest.approx(np.mean(SWARM) / np.mean(ALONE))
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1.5)


@pytest.mark.parametrize("sizes", [(3, 3), (2, 5), (6, 4), (8, 8), (20, 15)])
def test_the_rank_test_is_that_of_scipy(sizes: tuple[int, int]) -> None:
    draw = np.random.default_rng(sum(sizes))
    first, second = draw.normal(size=sizes[0]).tolist(), draw.normal(0.5, size=sizes[1]).tolist()
    theirs = stats.mannwhitneyu(second, first, alternative="two-sided")
    found = difference(first, second)
    assert (found.u, found.p) == (pytest.approx(theirs.statistic), pytest.approx(theirs.pvalue))
    assert found.superiority == pytest.approx(np.mean([[b > a for a in first] for b in second]))


def test_ties_do_not_make_a_test_surer_than_its_arrangements() -> None:
    """The normal approximation gives 0.047 here, below anything that 20 arrangements can give."""
    found = difference([0.0, 0.0, 0.0], [1.0, 1.0, 1.0])
    assert (found.u, found.p) == (9.0, pytest.approx(0.1))
    same = difference([1.0, 1.0], [1.0, 1.0])
    assert (same.u, same.p, same.superiority, same.cohens_d) == (2.0, 1.0, 0.5, None)


def test_ties_are_counted_in_every_arrangement() -> None:
    first, second = [0.0, 0.25, 0.25, 0.5], [0.25, 0.5, 0.75]
    together, sums = [*first, *second], []
    for places in itertools.combinations(range(7), 3):
        rest = [together[i] for i in range(7) if i not in places]
        sums.append(sum((together[i] > b) + (together[i] == b) / 2 for i in places for b in rest))
    found = difference(first, second)
    assert found.u == sums[-1]
    assert found.p == pytest.approx(np.mean([abs(u - 6) >= abs(sums[-1] - 6) for u in sums]))


def test_the_smallest_p_is_that_of_samples_wholly_apart() -> None:
    for first, second in ((3, 3), (2, 4), (5, 5)):
        found = difference([float(i) for i in range(first)], [100.0 + i for i in range(second)])
        assert found.p == pytest.approx(smallest_p(first, second))
    assert smallest_p(3, 3) == pytest.approx(0.1)
    assert smallest_p(1, 1) == 1.0


def test_effect_sizes_and_holms_adjustment_are_those_of_worked_examples() -> None:
    found = difference([2.0, 4.0, 6.0], [5.0, 7.0, 9.0])
    assert found.cohens_d == pytest.approx(1.5)  # 3 apart, both with a deviation of 2
    assert found.superiority == pytest.approx(8 / 9)
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_pairs_are_compared_pair_by_pair() -> None:
    first, second = [1.0, 5.0, 9.0, 4.0], [2.0, 6.5, 10.0, 4.5]
    found, apart = paired_difference(first, second), difference(first, second)
    assert found.mean == pytest.approx(1.0) == apart.mean
    assert found.ratio == pytest.approx(23 / 19)
    assert found.low is not None
    assert apart.low is not None
    assert found.low > 0 > apart.low  # what a pair has in common does not add noise here
    assert found.correlation == pytest.approx(np.corrcoef(first, second)[0, 1])
    assert paired_difference([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]).correlation is None
    with pytest.raises(ValueError, match="shorter"):
        paired_difference([1.0, 2.0], [1.0])


@pytest.mark.parametrize("count", [2, 3, 5])
def test_intervals_of_few_values_hold_the_mean_as_often_as_is_said(count: int) -> None:
    draw, trials = np.random.default_rng(count), 600
    found = [interval(draw.normal(size=count).tolist()) for _ in range(trials)]
    held, said = sum(one.low <= 0 <= one.high for one in found), interval_coverage(count)
    assert held / trials == pytest.approx(said, abs=4 * math.sqrt(said * (1 - said) / trials))


def test_coverage_is_known_between_the_measured_sizes_too() -> None:
    assert interval_coverage(1) is None
    assert interval_coverage(7) == interval_coverage(6)
    assert interval_coverage(500) == interval_coverage(20)
