"""How far a share of held-out questions may be off, since so few were asked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from swarm_ray.records.metrics import Evaluation

Z = 1.96


@dataclass(frozen=True)
class Gain:
    """Held-out pass@1 before and after, over all nodes that measured both."""

    start: float
    end: float
    error: float
    """Half the width of the interval of the gain."""
    nodes: int
    improved: int
    """Nodes whose pass@1 rose."""
    questions: int
    """Different questions that were asked, the same for all nodes."""

    @property
    def low(self) -> float:
        """Lower bound of the gain."""
        return self.end - self.start - self.error

    @property
    def high(self) -> float:
        """Upper bound of the gain."""
        return self.end - self.start + self.error


def gain_of(pairs: Mapping[str, tuple[Evaluation, Evaluation]]) -> Gain | None:
    """What was gained on held-out questions; None where nobody measured it at start and end.

    All nodes are asked the same questions, so these and not the nodes are the sample. What one question gives, a
    mean over nodes and samples, lies between 0 and 1, and no such quantity of mean p has a variance above p (1 - p):
    the interval of 95 % is wider than it need be. So is leaving out that the same questions were asked twice.
    """
    whole = {n: (a.pass_at_1, b.pass_at_1) for n, (a, b) in pairs.items()}
    there = {n: (a, b) for n, (a, b) in whole.items() if a is not None and b is not None}
    asked = [pairs[node] for node in there if sum(pairs[node][0].questions.values())]
    if not asked or len(asked) < len(there):
        return None
    firsts, lasts = ([pair[side] for pair in asked] for side in (0, 1))
    start, end = (math.fsum(v[side] for v in there.values()) / len(there) for side in (0, 1))
    return Gain(
        start=start,
        end=end,
        error=Z * math.hypot(_standard_error(firsts), _standard_error(lasts)),
        nodes=len(there),
        improved=sum(b > a for a, b in there.values()),
        questions=min((n for first in firsts if (n := sum(first.questions.values())) > 0), default=0),
    )


def mean_by_specialty(evaluations: Sequence[Evaluation]) -> dict[str, float]:
    """Specialty to the mean share over the nodes that were asked its questions."""
    found: dict[str, list[float]] = {}
    for one in evaluations:
        for specialty, share in one.by_specialty.items():
            if one.questions.get(specialty):
                found.setdefault(specialty, []).append(share)
    return {specialty: math.fsum(shares) / len(shares) for specialty, shares in found.items()}


def _standard_error(evaluations: Sequence[Evaluation]) -> float:
    """Bound of the standard error of the mean share over all questions, stratified by specialty."""
    shares = mean_by_specialty(evaluations)
    # All nodes are asked the same; where they say otherwise, who claims the most must not make it more certain.
    counts = {s: min((n for e in evaluations if (n := e.questions.get(s, 0)) > 0), default=0) for s in shares}
    variance = 0.0
    for specialty, share in shares.items():
        n = counts[specialty]
        cautious = (share * n + 1) / (n + 2)  # a share of 0 or 1 of a few questions is not certain
        variance += n * cautious * (1 - cautious)
    return math.sqrt(variance) / max(1, sum(counts.values()))
