"""The events that nodes logged, among them what was measured on held-out questions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

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

    Figures of specialties that the configuration does not name, and shares that are none, are left out.
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
