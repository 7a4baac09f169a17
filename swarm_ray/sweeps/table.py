"""A sweep as text: what it is going to do, and what it found."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from swarm_ray.formatting import NOTHING, WIDTH, clean, duration, grid, large, reward_sum, share
from swarm_ray.observe.statistics import Interval, PairedDifference
from swarm_ray.sweeps.plan import SweepPlan
from swarm_ray.sweeps.remarks import remarks_on
from swarm_ray.sweeps.results import MEASURES, Figure, Measure, SweepResult
from swarm_ray.sweeps.standing import Standing


def plan_text(plan: SweepPlan, found: Sequence[Standing], *, width: int = WIDTH, styled: bool = False) -> str:
    """Every run with its state, and below them how large it all is."""
    rows = [[s.run.point.label, str(s.run.seed), s.state, s.run.experiment] for s in found]
    table = grid(["setting", "seed", "state", "experiment"], rows, width=width, styled=styled)
    return table + size_text(plan, found) + "\n"


def size_text(plan: SweepPlan, found: Sequence[Standing]) -> str:
    """How many runs there are, how many are left, and what those will generate."""
    left = [standing.run.config for standing in found if not standing.finished]
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
    """A table of means, one of each measure against the baseline, and what to bear in mind."""
    parts = [means_table(result, width=width, styled=styled)]
    if result.baseline is not None:
        for measure in MEASURES:
            parts.append(f"{measure.title}, against {result.baseline.label}\n")
            parts.append(differences_table(result, measure, width=width, styled=styled))
    wrapped = [
        "\n".join(textwrap.wrap(clean(line), width, subsequent_indent="  ")) for line in remarks_on(result)
    ]
    return "\n".join([*parts, *[f"{text}\n" for text in wrapped]]).replace("\n\n\n", "\n\n")


def means_table(result: SweepResult, *, width: int = WIDTH, styled: bool = False) -> str:
    """A line for each grid point: mean and standard deviation over the seeds."""
    heads = ["setting", "runs", "cumulative", "last tenth", "pass@1", "tokens", "time"]
    rows = [
        [
            p.point.label + (" (baseline)" if p.is_baseline else ""),
            str(len(p.runs)),
            *[mean_text(m, p.figures[m.key].interval) for m in MEASURES],
        ]
        for p in result.points
    ]
    return grid(heads, rows, width=width, styled=styled)


def differences_table(
    result: SweepResult, measure: Measure, *, width: int = WIDTH, styled: bool = False
) -> str:
    """A line for each other grid point: how far from the baseline it is, and how sure that is."""
    rows = [
        [p.point.label, *difference_cells(measure, p.figures[measure.key])]
        for p in result.points
        if not p.is_baseline
    ]
    return grid(["setting", *DIFFERENCE_HEADS], rows, width=width, styled=styled)


DIFFERENCE_HEADS = ("ratio", "difference", "95 % interval", "U", "p", "p (Holm)", "larger in", "d")


def difference_cells(measure: Measure, figure: Figure) -> list[str]:
    """Under `DIFFERENCE_HEADS`: the paired difference, and the test of all against all."""
    test, paired = figure.difference, figure.paired
    if test is None or paired is None:
        return [NOTHING] * len(DIFFERENCE_HEADS)
    return [
        NOTHING if paired.ratio is None else f"{paired.ratio:.2f}x",
        amount(measure, paired.mean, signed=True),
        bounds_text(measure, paired),
        f"{test.u:g}",
        p_text(test.p),
        NOTHING if figure.p_holm is None else p_text(figure.p_holm),
        f"{test.superiority:.0%}",
        NOTHING if test.cohens_d is None else f"{test.cohens_d:.1f}",
    ]


def bounds_text(measure: Measure, paired: PairedDifference) -> str:
    """The bounds of a difference, with their signs."""
    if paired.low is None or paired.high is None:
        return NOTHING
    return f"{amount(measure, paired.low, signed=True)} to {amount(measure, paired.high, signed=True)}"


def mean_text(measure: Measure, found: Interval | None, sign: str = "+-") -> str:
    """A mean with its standard deviation, after `sign`."""
    if found is None:
        return NOTHING
    mean = amount(measure, found.mean)
    return mean if found.spread is None else f"{mean} {sign} {amount(measure, found.spread)}"


def interval_text(measure: Measure, found: Interval | None) -> str:
    """The bounds of a mean."""
    if found is None or found.low is None or found.high is None:
        return NOTHING
    return f"{amount(measure, found.low)} to {amount(measure, found.high)}"


def amount(measure: Measure, value: float, *, signed: bool = False) -> str:
    """A value of a measure, in its own way."""
    sign = "-" if value < 0 else "+" if signed else ""
    return sign + _spelled(measure, abs(value))


def p_text(p: float) -> str:
    """A probability: two digits, and not more zeros than one can count."""
    return "<0.001" if p < 0.001 else f"{p:.2g}"


def _spelled(measure: Measure, value: float) -> str:
    if measure.key == "generated_tokens":
        return large(round(value))
    if measure.key == "seconds":
        return duration(value)
    return reward_sum(value) if measure.key == "cumulative_reward" else share(value)
