"""Diagnoses of nodes and of the swarm, as text. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from swarm_ray.config.schema import PaceConfig
from swarm_ray.experiments.read.liveness import PAUSED, NodeLiveness
from swarm_ray.experiments.read.status import ExperimentReading
from swarm_ray.formatting import change, duration, large, reward_sum
from swarm_ray.observe.snapshot import NodeSnapshot, rounds_closed
from swarm_ray.records.nodes import Beat
from swarm_ray.records.state import ENDED, ExperimentState, NodeTally, StateRecord

WARN_AFTER = 5
"""A note appears after so many rounds in a row without any advantage."""


def diagnosed(line: NodeSnapshot, found: NodeLiveness, reading: ExperimentReading) -> NodeSnapshot:
    """A node's figures brought up to date by its last heartbeat, with what is wrong.

    Args:
        line: its figures, as the state records have them.
        found: its last heartbeat.
        reading: the same read of the folder.
    """
    record, beat = reading.record, found.beat
    if beat is not None:
        line = replace(
            line,
            round=max(line.round, beat.round),
            step=max(line.step, beat.step),
            notes=(beat.recovered,) if beat.recovered else (),
            done=beat.done,
        )
    line = replace(line, seen_s=found.seen_s, by_clocks=found.by_clocks)
    if record.state in ENDED or line.done:
        return line
    problems = (*line.problems, *_troubles(line, found, record, reading.pace))
    if found.silent(reading.pace):
        line = replace(line, step_s=None, tokens_per_s=None)
    return replace(line, problems=tuple(dict.fromkeys(problems)))


def _troubles(line: NodeSnapshot, found: NodeLiveness, record: StateRecord, pace: PaceConfig) -> list[str]:
    """What is wrong with a node that should be running."""
    said = []
    if found.silent(pace):
        said.append(f"silent for {duration(found.seen_s or 0.0)}")
    elif found.trains_alone(pace):
        said.append("trains alone: no heartbeat from a coordinator")
    if record.opens is None:
        return said
    tolerated = pace.staleness if pace.mode == "async" else 0
    behind = record.opens.round - 1 - line.round
    if behind > tolerated and line.round >= 0:
        said.append(f"{behind} round{'s' if behind > 1 else ''} behind")
    return said + _unanswered(found.beat, tolerated)


def _unanswered(beat: Beat | None, tolerated: int) -> list[str]:
    """Files unanswered for long; judged by the heartbeat's own round, which may lag behind the newest record."""
    old = [number for number in beat.unanswered if number < beat.round - tolerated] if beat else []
    if not old:
        return []
    return [f"no answer yet to its file{'s' if len(old) > 1 else ''} of round {_spans(old)}"]


def with_lost_files(line: NodeSnapshot, record: StateRecord) -> NodeSnapshot:
    """With published files that never arrived, once the experiment has ended."""
    expired = record.answers.expired.get(line.node, ()) if record.answers else ()
    if not expired:
        return line
    text = f"its file{'s' if len(expired) > 1 else ''} of round {_spans(expired)} never arrived"
    return replace(line, problems=(*line.problems, text))


def swarm_notes(record: StateRecord, *, lost: bool = False) -> list[str]:
    """What a reader should know of the swarm as a whole, beside the record's own note.

    Args:
        record: the newest one.
        lost: the coordinator is silent.
    """
    notes = []
    if record.state == ExperimentState.PAUSED and not lost:
        notes.append(PAUSED)
    if record.barren >= WARN_AFTER and not record.learned_nothing:
        notes.append(without_advantage(record.barren, rounds_closed(record)))
    return notes


def swarm_alarm(record: StateRecord) -> str:
    """The warning that nothing is learned."""
    if not record.learned_nothing:
        return ""
    return f"LEARNED NOTHING: {without_advantage(record.barren, rounds_closed(record))}"


def without_advantage(streak: int, closed: int) -> str:
    """In which rounds nothing was learned.

    Args:
        streak: rounds in a row, up to the newest, in which no group of any node had an advantage.
        closed: rounds that have closed.
    """
    rounds = "1 round" if streak == 1 else f"{streak} rounds"
    return f"in {'all' if streak >= closed else 'the last'} {rounds} no group of any node had an advantage"


def result_line(tallies: Sequence[NodeTally]) -> str:
    """The results: cumulative reward, pass@1 before and after, tokens."""
    totals = [tally.totals for tally in tallies if tally.round >= 0]
    if not totals:
        return ""
    parts = [f"cumulative reward {reward_sum(sum(t.reward for t in totals))}"]
    starts = [t.pass_at_1_start for t in totals if t.pass_at_1_start is not None]
    ends = [t.pass_at_1_end for t in totals if t.pass_at_1_end is not None]
    if ends:
        before = sum(starts) / len(starts) if starts else None
        parts.append(f"pass@1 {change(before, sum(ends) / len(ends))}")
    parts.append(f"{large(sum(t.generated_tokens for t in totals))} tokens")
    return ", ".join(parts)


def _spans(numbers: Sequence[int]) -> str:
    """3, or 3 to 9."""
    return str(numbers[0]) if len(numbers) == 1 else f"{min(numbers)} to {max(numbers)}"
