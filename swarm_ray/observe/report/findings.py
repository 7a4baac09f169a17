"""Whether an experiment learned: how certain a gain in held-out pass@1 and in its own rewards is, as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from swarm_ray.observe.diagnosis import without_advantage
from swarm_ray.observe.report.evidence import Evidence
from swarm_ray.observe.statistics import Difference, difference
from swarm_ray.records.metrics import Evaluation

FEWEST_ROUNDS = 10
"""Below so many rounds at either end of a run a mean of rewards says too little."""


@dataclass(frozen=True)
class Finding:
    """An answer to one question."""

    question: str
    about: str
    """The experiments it is about."""
    answer: str
    """yes or no if certain, partly if there are indications, open otherwise."""
    said: str
    """The answer as a sentence."""
    because: tuple[str, ...]
    """The evidence for it, and its limits."""


def learning_of(evidence: Evidence) -> Finding:
    """Whether the nodes of one experiment improved.

    It is about these nodes, in this run: the intervals are over rounds and over held-out questions. Another seed is
    another run, and one run says nothing of how far runs differ.
    """
    gain = gain_of(evidence.evaluations)
    rise, window = _rise(evidence)
    answer, said = _answer(evidence, gain, rise)
    because = [_held_out_line(evidence, gain), _reward_line(evidence, rise, window)]
    if evidence.under_way:
        because.append(f"It is {evidence.status.state}: this is how it stands so far.")
    return Finding("Did it learn?", evidence.name, answer, said, tuple(because))


def signed(value: float) -> str:
    """A difference, with its sign."""
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def _rise(evidence: Evidence) -> tuple[Difference | None, int]:
    """The last rounds' rewards against the first rounds', and how many rounds each are.

    Given what the nodes knew, rounds are independent: each draws its own questions. That the nodes kept learning
    within a window makes its spread, and so the interval, larger rather than smaller.
    """
    means = evidence.round_means
    window = max(FEWEST_ROUNDS, len(means) // 10)
    return difference(means[:window], means[-window:]) if len(means) >= 2 * window else None, window


def _answer(evidence: Evidence, gain: Gain | None, rise: Difference | None) -> tuple[str, str]:
    """Held-out questions decide; own rewards alone are weaker evidence."""
    if evidence.status.learned_nothing:
        return "no", f"It learned nothing: {without_advantage(evidence.streak, len(evidence.rounds))}."
    if gain is None:
        return _answer_by_rewards(rise)
    change = f"{gain.start:.3f} to {gain.end:.3f} ({_bounds(gain.end - gain.start, gain.low, gain.high)})"
    if gain.low > 0:
        return "yes", f"Yes: held-out pass@1 rose from {change}."
    if gain.high < 0:
        return "no", f"No: held-out pass@1 fell from {change}."
    if rise is not None and (rise.low or 0.0) > 0:
        return "partly", f"Its own rewards rose; on held-out questions no gain is certain: {change}."
    return "open", f"No gain beyond chance: held-out pass@1 {change}."


def _answer_by_rewards(rise: Difference | None) -> tuple[str, str]:
    if rise is None:
        return "open", "Too little has been run to say so."
    if (rise.low or 0.0) > 0:
        return "partly", "Its own rewards rose; whether held-out pass@1 did, the logs do not say."
    if (rise.high or 0.0) < 0:
        return "no", "No: its own rewards fell."
    return "open", "Its own rewards did not rise."


def _held_out_line(evidence: Evidence, gain: Gain | None) -> str:
    if gain is None:
        if evidence.config.evaluation.questions == 0:
            return "Held-out pass@1 was not measured: evaluation.questions is 0."
        if any(n.pass_at_1_end is not None for n in evidence.status.nodes):
            return "Held-out pass@1 is in the table; on how many questions it rests is not in the logs: no interval."
        return (
            "Held-out pass@1 is not known at both start and end; it is measured before the first and after the "
            "last round."
        )
    where = f"{gain.improved} of {gain.nodes} nodes" if gain.nodes > 1 else f"{gain.improved} of 1 node"
    return (
        f"Held out: {gain.questions} questions that nobody trained on; pass@1 rose in {where}. The interval is over "
        "questions, and wider than it need be. It is about these nodes, not about another run."
    )


def _reward_line(evidence: Evidence, rise: Difference | None, window: int) -> str:
    means = evidence.round_means
    if rise is None or rise.low is None or rise.high is None:
        closed = f"{len(means)} {'round has' if len(means) == 1 else 'rounds have'}"
        return f"Own rewards: {closed} closed; to compare the first with the last ones takes {2 * window}."
    first, last = (math.fsum(part) / window for part in (means[:window], means[-window:]))
    return (
        f"Own rewards: mean of the first {window} rounds {first:.3f}, of the last {window} {last:.3f} "
        f"({_bounds(rise.mean, rise.low, rise.high)}). The interval is over rounds, whose questions are drawn anew."
    )


def _bounds(value: float, low: float, high: float) -> str:
    return f"{signed(value)}; 95% interval {signed(low)} to {signed(high)}"


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
        for specialty in filter(one.questions.get, one.by_specialty):
            found.setdefault(specialty, []).append(one.by_specialty[specialty])
    return {specialty: math.fsum(shares) / len(shares) for specialty, shares in found.items()}


def _standard_error(evaluations: Sequence[Evaluation]) -> float:
    """Bound of the standard error of the mean share over all questions, stratified by specialty."""
    shares = mean_by_specialty(evaluations)
    # All nodes are asked the same; where they say otherwise, who claims the most must not make it more certain.
    counts = {s: min((n for e in evaluations if (n := e.questions.get(s, 0)) > 0), default=0) for s in shares}
    # A share of 0 or 1 of a few questions is not certain.
    cautious = {s: (share * counts[s] + 1) / (counts[s] + 2) for s, share in shares.items()}
    variance = sum(counts[s] * p * (1 - p) for s, p in cautious.items())
    return math.sqrt(variance) / max(1, sum(counts.values()))
