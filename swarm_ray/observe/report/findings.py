"""Verdicts as text: whether an experiment learned, and the evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass

from swarm_ray.observe.diagnosis import without_advantage
from swarm_ray.observe.report.evaluations import Gain, before_and_after, gain_of
from swarm_ray.observe.report.evidence import Evidence
from swarm_ray.observe.statistics import Difference, difference

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
    gain = gain_of(before_and_after(evidence.evaluations))
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
    means = [evidence.round_means[number] for number in sorted(evidence.round_means)]
    window = max(FEWEST_ROUNDS, len(means) // 10)
    if len(means) < 2 * window:
        return None, window
    return difference(means[:window], means[-window:]), window


def _answer(evidence: Evidence, gain: Gain | None, rise: Difference | None) -> tuple[str, str]:
    """Held-out questions decide; own rewards alone are weaker evidence."""
    if evidence.status.learned_nothing:
        return "no", f"It learned nothing: {without_advantage(evidence.streak, len(evidence.rounds))}."
    up = rise is not None and rise.low is not None and rise.low > 0
    down = rise is not None and rise.high is not None and rise.high < 0
    if gain is None:
        return _answer_by_rewards(up=up, down=down, known=rise is not None)
    change = f"{gain.start:.3f} to {gain.end:.3f} ({_bounds(gain.end - gain.start, gain.low, gain.high)})"
    if gain.low > 0:
        return "yes", f"Yes: held-out pass@1 rose from {change}."
    if gain.high < 0:
        return "no", f"No: held-out pass@1 fell from {change}."
    if up:
        return "partly", f"Its own rewards rose; on held-out questions no gain is certain: {change}."
    return "open", f"No gain beyond chance: held-out pass@1 {change}."


def _answer_by_rewards(*, up: bool, down: bool, known: bool) -> tuple[str, str]:
    if not known:
        return "open", "Too little has been run to say so."
    if up:
        return "partly", "Its own rewards rose; whether held-out pass@1 did, the logs do not say."
    if down:
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
    means = [evidence.round_means[number] for number in sorted(evidence.round_means)]
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
