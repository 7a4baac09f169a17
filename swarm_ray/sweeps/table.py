"""A sweep as text: its plan, its results, and their limitations."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Sequence

from swarm_ray.formatting import NOTHING, WIDTH, clean, grid, large
from swarm_ray.observe.statistics import LEVEL, Interval, PairedDifference, interval_coverage, smallest_p
from swarm_ray.sweeps.plan import SweepPlan
from swarm_ray.sweeps.results import MEASURES, Figure, Measure, RunStatus, SweepResult


def limitations(result: SweepResult) -> list[str]:
    """Sentences on the limitations of the figures."""
    return [*_run_remarks(result), *_interval_remarks(result), *_test_remarks(result)]


def seeds_needed(comparisons: int) -> int:
    """Seeds per side needed for the test to get below `LEVEL` after Holm's adjustment."""
    return next(count for count in itertools.count(2) if smallest_p(count, count) * comparisons <= LEVEL)


def _run_remarks(result: SweepResult) -> Iterator[str]:
    """Which runs are left out, and in what those that count differ from what is asked of them."""
    if result.missing:
        names = ", ".join(f"{status.run.experiment} ({status.state})" for status in result.missing[:9])
        more = f" and {len(result.missing) - 9} more" if len(result.missing) > 9 else ""
        yield f"Not finished, and left out: {names}{more}."
    yield from (f"{name} is finished but left out: {why}." for name, why in result.not_counted.items())
    runs = [run for point in result.points for run in point.runs]
    sizes = {"nodes": {r.run.config.nodes for r in runs}, "rounds": {r.run.config.rounds for r in runs}}
    if differing := [key for key, values in sizes.items() if len(values) > 1]:
        over = " and ".join(differing)
        yield f"The runs differ in {over}, over which the cumulative reward and tokens are summed."
    if idle := [run.run.experiment for run in runs if run.figures.learned_nothing]:
        yield f"Learned nothing, but counted: {', '.join(idle)}."


def _interval_remarks(result: SweepResult) -> Iterator[str]:
    counts = [len(point.runs) for point in result.points]
    if min(counts) < 2:
        yield "With fewer than 2 seeds of a setting no interval is possible."
    if several := [count for count in counts if count > 1]:
        least, most = min(several), max(several)
        seeds = str(least) if least == most else f"{least} to {most}"
        yield (
            f"Intervals are bootstrapped over {seeds} seeds and asked for with 95 %; of {least} values about "
            f"{interval_coverage(least):.0%} of them hold the true mean."
        )


def _test_remarks(result: SweepResult) -> list[str]:
    """What the test cannot show with so few seeds, and the effect of several tests."""
    if result.baseline is None:
        return ["No baseline is named, so nothing is tested."]
    base, others = result.sizes()
    if not base or not others:
        return [
            "Nothing could be tested: the baseline, or everything compared with it, has no valid finished run."
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


def plan_text(
    plan: SweepPlan, found: Sequence[RunStatus], *, width: int = WIDTH, styled: bool = False
) -> str:
    """Every run with its state, and below them the size of the sweep."""
    rows = [[s.run.point.label, str(s.run.seed), s.state, s.run.experiment] for s in found]
    table = grid(("setting", "seed", "state", "experiment"), rows, width=width, styled=styled)
    return f"{table}{size_text(plan, found)}\n"


def size_text(plan: SweepPlan, found: Sequence[RunStatus]) -> str:
    """The number of runs, how many are left, and what those will generate."""
    left = [status.run.config for status in found if not status.finished]
    rounds = sum(config.rounds for config in left)
    completions = sum(c.nodes * c.rounds * c.local * c.completions for c in left)
    tokens = sum(c.nodes * c.rounds * c.local * c.completions * c.policy.max_new_tokens for c in left)
    head = (
        f"{plan.name}: {len(plan.points)} settings x {len(plan.seeds)} seeds = {len(plan.runs)} runs, "
        f"{len(plan.runs) - len(left)} finished"
    )
    if not left:
        return head
    return f"{head}; left are {rounds} rounds with {large(completions)} completions, {large(tokens)} tokens at most"


def result_text(result: SweepResult, *, width: int = WIDTH, styled: bool = False) -> str:
    """A table of means, one per measure against the baseline, and the limitations."""
    parts = [means_table(result, width=width, styled=styled)]
    against = "" if result.baseline is None else result.baseline.label
    for measure in MEASURES if against else ():
        rows = [list(row) for row in difference_rows(result, measure)]
        parts.append(f"{measure.title}, against {against}\n")
        parts.append(grid(DIFFERENCE_HEADS, rows, width=width, styled=styled))
    wrapped = [
        "\n".join(textwrap.wrap(clean(line), width, subsequent_indent="  ")) for line in limitations(result)
    ]
    return "\n".join([*parts, *[f"{text}\n" for text in wrapped]]).replace("\n\n\n", "\n\n")


def means_table(result: SweepResult, *, width: int = WIDTH, styled: bool = False) -> str:
    """A line for each grid point: mean and standard deviation over the seeds."""
    rows = [
        [
            p.point.label + (" (baseline)" if p.is_baseline else ""),
            str(len(p.runs)),
            *[mean_text(m, p.figures[m.key].interval) for m in MEASURES],
        ]
        for p in result.points
    ]
    return grid(MEAN_HEADS, rows, width=width, styled=styled)


MEAN_HEADS = ("setting", "runs", "cumulative", "last tenth", "pass@1", "tokens", "time")
DIFFERENCE_HEADS = ("setting", "ratio", "difference", "95 % interval", "U", "p", "p (Holm)", "larger in", "d")


def difference_rows(result: SweepResult, measure: Measure) -> tuple[tuple[str, ...], ...]:
    """Under `DIFFERENCE_HEADS`, of each other grid point: the paired difference, and the unpaired test."""
    others = [point for point in result.points if not point.is_baseline]
    return tuple((p.point.label, *_difference_cells(measure, p.figures[measure.key])) for p in others)


def _difference_cells(measure: Measure, figure: Figure) -> list[str]:
    test, paired = figure.difference, figure.paired_difference
    if test is None or paired is None:
        return [NOTHING] * (len(DIFFERENCE_HEADS) - 1)
    return [
        NOTHING if paired.ratio is None else f"{paired.ratio:.2f}x",
        amount(measure, paired.mean, signed=True),
        bounds_text(measure, paired, signed=True),
        f"{test.u:g}",
        p_text(test.p),
        NOTHING if figure.p_holm is None else p_text(figure.p_holm),
        f"{test.superiority:.0%}",
        NOTHING if test.cohens_d is None else f"{test.cohens_d:.1f}",
    ]


def bounds_text(measure: Measure, found: Interval | PairedDifference | None, *, signed: bool = False) -> str:
    """The bounds of a mean or of a difference."""
    if found is None or found.low is None or found.high is None:
        return NOTHING
    return " to ".join(amount(measure, bound, signed=signed) for bound in (found.low, found.high))


def mean_text(measure: Measure, found: Interval | None, sign: str = "+-") -> str:
    """A mean with its standard deviation, after `sign`."""
    if found is None:
        return NOTHING
    mean = amount(measure, found.mean)
    return mean if found.spread is None else f"{mean} {sign} {amount(measure, found.spread)}"


def amount(measure: Measure, value: float | None, *, signed: bool = False) -> str:
    """A value in its measure's format."""
    if value is None:
        return NOTHING
    sign = "-" if value < 0 else "+" if signed else ""
    return sign + measure.format(abs(value))


def p_text(p: float) -> str:
    """A probability with two significant digits."""
    return "<0.001" if p < 0.001 else f"{p:.2g}"
