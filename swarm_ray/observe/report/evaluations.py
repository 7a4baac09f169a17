"""Events that nodes logged, among them held-out pass@1, and how certain a gain in it is."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from drive_store import UNREADABLE, read_segments
from swarm_ray.experiments.read.experiment import OpenExperiment
from swarm_ray.records.metrics import Evaluation, Event

MOST_EVENTS = 20_000
"""Of one incarnation; a log that holds more is not read further."""
ORDINARY = ("started", "evaluation")
"""Kinds of events that tell nothing unusual."""


def events_of(
    experiment: OpenExperiment, lives: Mapping[tuple[str, str], int], problems: list[str]
) -> list[Event]:
    """The events of all nodes, by time as their machines' clocks had it; earlier incarnations first.

    Args:
        experiment: whose.
        lives: nodes and incarnations, with how many incarnations each continues.
        problems: takes a line for each segment that is torn or missing, and each row that cannot be read.

    Raises:
        StoreError: the folder cannot be read.
    """
    events: list[Event] = []
    for node, life in sorted(lives, key=lambda peer: (lives[peer], peer)):
        lines = read_segments(experiment.view, node, life, "events", problems)
        for number, line in enumerate(lines):
            if number == MOST_EVENTS:
                problems.append(f"{node} logged more than {MOST_EVENTS} events; the rest was left out")
                break
            try:
                event = msgspec.json.decode(line, type=Event)
            except UNREADABLE as error:
                problems.append(f"{node}: row {number} of its events cannot be read: {error}")
                continue
            events.append(msgspec.structs.replace(event, node=node))
    return sorted(events, key=lambda event: event.at)


def evaluations_in(events: Iterable[Event], specialties: Collection[str]) -> list[Evaluation]:
    """What nodes measured on held-out questions: the first start and the last end of each.

    Figures of specialties that the configuration does not name, and impossible shares, are left out.
    """
    found: dict[tuple[str, str], Evaluation] = {}
    for event in events:
        if event.kind != "evaluation":
            continue
        try:
            said = msgspec.json.decode(event.text, type=Evaluation)
        except UNREADABLE:
            continue
        key = (event.node, said.when)
        if said.when not in ("start", "end") or (said.when == "start" and key in found):
            continue
        shares = {s: v for s, v in said.by_specialty.items() if s in specialties and 0 <= v <= 1}
        asked = {s: said.questions.get(s, 0) for s in shares}
        whole = said.pass_at_1 if said.pass_at_1 is not None and 0 <= said.pass_at_1 <= 1 else None
        if all(0 <= count <= 1_000_000 for count in asked.values()):
            found[key] = Evaluation(event.node, said.when, whole, shares, asked)
    return [found[key] for key in sorted(found)]


def before_and_after(evaluations: Sequence[Evaluation]) -> dict[str, tuple[Evaluation, Evaluation]]:
    """Node to its measurements at start and end; nodes that have only one are left out."""
    by_key = {(one.node, one.when): one for one in evaluations}
    nodes = sorted({one.node for one in evaluations})
    pairs = {node: (by_key.get((node, "start")), by_key.get((node, "end"))) for node in nodes}
    return {node: (first, last) for node, (first, last) in pairs.items() if first and last}


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
