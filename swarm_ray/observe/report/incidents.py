"""Incidents: files that did not count, restarts, resumes, new coordinators, pauses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from swarm_ray.observe.report.evidence import Evidence
from swarm_ray.records.state import Answers, ExperimentState, StageClosed

MOST_SHOWN = 100
ORDINARY = ("started", "evaluation")
"""Kinds of events that tell nothing unusual."""
HALTED = (ExperimentState.PAUSED, ExperimentState.STOPPED, ExperimentState.FAILED)
TOLD = {
    "restarted": "an actor was started again",
    "resumed": "a node resumed from its checkpoint",
    "node-failed": "a node was given up",
    "node-skipped": "a node skipped a round",
    "alone": "nodes trained without a coordinator",
    "folder": "the folder was out of reach",
    "store": "logs could not be written",
    "checkpoint": "a checkpoint failed or was damaged",
    "spool": "a spool was damaged",
}
"""Kinds of events that are counted, with what they mean."""
FILES = {
    "late": "late files",
    "superseded": "superseded files",
    "rejected": "rejected files",
    "missing": "missing files",
    "expired": "files that never arrived",
}
"""Kinds of incidents of files, with what they are counted as."""


@dataclass(frozen=True)
class Incident:
    """One thing that happened."""

    round: int
    node: str
    kind: str
    text: str
    count: int = 1
    """How many files it is about."""
    at: str = ""
    """Wall clock, as its writer had it; empty for entries of the state log."""


def counts_of(evidence: Evidence) -> dict[str, int]:
    """Counts by kind of incident, without zeros."""
    counts: Counter[str] = Counter()
    for one in (one for one in _from_state(evidence) if one.kind in FILES):
        counts[FILES[one.kind]] += one.count
    for row in evidence.rows:
        counts["rejected external rollouts"] += sum(row.counters.rejected.values())
        counts["failed verifications"] += row.scoring_failures
        counts["steps taken alone"] += row.alone
        counts["steps taken again"] += row.replayed
    counts.update(TOLD[event.kind] for event in evidence.events if event.kind in TOLD)
    counts["coordinator epochs after the first"] += len({record.epoch for record in evidence.records}) - 1
    return {what: count for what, count in counts.items() if count > 0}


def rejections_of(evidence: Evidence) -> dict[str, int]:
    """Why external rollouts were rejected, and how many."""
    reasons = sum((Counter(row.counters.rejected) for row in evidence.rows), Counter[str]())
    return dict(reasons.most_common(12))


def incidents_of(evidence: Evidence) -> list[Incident]:
    """All incidents, by round; events without a round come last."""
    events = [event for event in evidence.events if event.kind not in ORDINARY]
    found = [*_from_state(evidence), *(Incident(e.round, e.node, e.kind, e.text, at=e.at) for e in events)]
    return sorted(found, key=lambda one: (one.round < 0, one.round, one.at))


def _from_state(evidence: Evidence) -> Iterator[Incident]:
    """Files that did not count, and changes of the swarm's state."""
    epoch, state, number = None, "", -1
    for record in evidence.records:
        closed, now = record.state.closed, record.state.state
        number = closed.round if closed else number
        if epoch is not None and record.epoch != epoch:
            yield Incident(number, "", "coordinator", f"a coordinator took over: epoch {record.epoch}")
        if now != state and now in HALTED:
            yield Incident(number, "", now, record.state.note or f"the swarm {now}")
        epoch, state = record.epoch, now
        for part in (closed, record.state.answers):
            yield from _of_files(part, number) if part is not None else ()


def _of_files(part: StageClosed | Answers, number: int) -> Iterator[Incident]:
    yield from (Incident(number, refusal.node, "rejected", refusal.reason) for refusal in part.rejected)
    for kind, files in (("late", part.late), ("superseded", part.superseded)):
        yield from (Incident(number, file.node, kind, file.key.rpartition("/")[2]) for file in files)
    if isinstance(part, StageClosed):
        yield from (Incident(number, n, "missing", "no file of this node counted") for n in part.missing)
        return
    for node, rounds in part.expired.items():
        said = f"rounds {', '.join(map(str, rounds))} never arrived"
        yield Incident(number, node, "expired", said, len(rounds))
