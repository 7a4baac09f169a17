"""What a reader of a sweep must know to read its figures right: what is missing, and what so few seeds cannot tell."""

from __future__ import annotations

from swarm_ray.observe.statistics import LEVEL, interval_coverage, smallest_p
from swarm_ray.sweeps.results import SweepResult


def remarks_on(result: SweepResult) -> list[str]:
    """Sentences to stand beside the figures."""
    return [
        *_missing(result),
        *[f"{name} is finished, and left out: {why}." for name, why in result.not_counted.items()],
        *_unlike(result),
        *_learned_nothing(result),
        *_interval_remarks(result),
        *_test_remarks(result),
    ]


def seeds_needed(comparisons: int) -> int:
    """Seeds a side, from which on the test can get below `LEVEL` after Holm's adjustment."""
    count = 2
    while smallest_p(count, count) * comparisons > LEVEL:
        count += 1
    return count


def _missing(result: SweepResult) -> list[str]:
    if not result.missing:
        return []
    names = ", ".join(f"{standing.run.experiment} ({standing.state})" for standing in result.missing[:9])
    more = f" and {len(result.missing) - 9} more" if len(result.missing) > 9 else ""
    return [f"Not finished, and left out: {names}{more}."]


def _unlike(result: SweepResult) -> list[str]:
    """Sums over different numbers of nodes and rounds are not comparable as they stand."""
    configs = [run.run.config for point in result.points for run in point.runs]
    found = {"nodes": {config.nodes for config in configs}, "rounds": {config.rounds for config in configs}}
    differing = [key for key, values in found.items() if len(values) > 1]
    if not differing:
        return []
    return [
        f"The runs differ in {' and '.join(differing)}, over which the cumulative reward and tokens are summed."
    ]


def _learned_nothing(result: SweepResult) -> list[str]:
    names = [r.run.experiment for p in result.points for r in p.runs if r.figures.learned_nothing]
    return [f"Learned nothing, and counted all the same: {', '.join(names)}."] if names else []


def _interval_remarks(result: SweepResult) -> list[str]:
    counts = [len(point.runs) for point in result.points]
    said = []
    if min(counts) < 2:
        said.append("With fewer than 2 seeds of a setting no interval is possible: one run is one draw.")
    if several := [count for count in counts if count > 1]:
        least, most = min(several), max(several)
        seeds = str(least) if least == most else f"{least} to {most}"
        said.append(
            f"Intervals are bootstrapped over {seeds} seeds and asked for with 95 %; of {least} values about "
            f"{interval_coverage(least):.0%} of them hold the true mean."
        )
    return said


def _test_remarks(result: SweepResult) -> list[str]:
    """What the test cannot say with so few seeds, and what several tests do."""
    if result.baseline is None:
        return ["No baseline is named, so nothing is tested."]
    base, others = result.sizes()
    if not base or not others:
        return [
            "Nothing could be tested: the baseline, or all that it is compared with, has no finished run that counts."
        ]
    lowest, adjusted = smallest_p(base, min(others)), result.least_p()
    several = (
        f", {adjusted:.2g} after Holm's adjustment for {len(others)} comparisons" if len(others) > 1 else ""
    )
    said = [f"With {base} and {min(others)} runs the smallest possible two-sided p is {lowest:.2g}{several}."]
    if adjusted > LEVEL:
        said.append(
            f"So no difference can be called significant at {LEVEL:g} here, however large it is; that takes "
            f"{seeds_needed(len(others))} seeds."
        )
    if len(others) > 1:
        said.append(
            "p (Holm) is adjusted for the comparisons of one measure; the five measures are not adjusted for."
        )
    return [" ".join(said)]
