"""Diagnoses of nodes and of the swarm, as text. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from swarm_ray.config.schema import PaceConfig
from swarm_ray.experiments.read.compare import mean
from swarm_ray.experiments.read.liveness import PAUSED, NodeLiveness
from swarm_ray.experiments.read.status import ExperimentReading
from swarm_ray.formatting import change, duration, large, reward_sum
from swarm_ray.observe.snapshot import NodeSnapshot, rounds_closed
from swarm_ray.records.state import ENDED, ExperimentState, NodeTally, StateRecord

WARN_AFTER = 5
"""A note appears after so many rounds in a row without any advantage."""


def diagnosed(line: NodeSnapshot, reading: ExperimentReading) -> NodeSnapshot:
    """A node's figures brought up to date by its last heartbeat, with what is wrong.

    Args:
        line: its figures, as the state records have them.
        reading: a read of the folder.
    """
    record, found = reading.record, reading.nodes.get(line.node)
    problems = reading.problems(line.node)
    if found is not None and found.beat is not None:
        line = replace(
            line,
            round=max(line.round, found.beat.round),
            step=max(line.step, found.beat.step),
            notes=(found.beat.recovered,) if found.beat.recovered else (),
            done=found.beat.done,
        )
    if record.state in ENDED:
        lost = record.answers.expired.get(line.node, ()) if record.answers else ()
        problems += [f"its file{_of_rounds(lost)} never arrived"] if lost else []
    elif found is not None and not line.done:
        problems += _troubles(line, found, record, reading.pace)
    if found is not None:
        line = replace(line, seen_s=found.seen_s, by_clocks=found.by_clocks)
        if found.silent(reading.pace) and record.state not in ENDED and not line.done:
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
    # Judged by the heartbeat's own round, which may lag behind the newest record.
    old = [n for n in found.beat.unanswered if n < found.beat.round - tolerated] if found.beat else []
    return [*said, f"no answer yet to its file{_of_rounds(old)}"] if old else said


def _of_rounds(rounds: Sequence[int]) -> str:
    """What follows `file`: ` of round 3`, or `s of round 3 to 9`."""
    return f" of round {rounds[0]}" if len(rounds) == 1 else f"s of round {min(rounds)} to {max(rounds)}"


def swarm_notes(record: StateRecord, *, lost: bool = False) -> list[str]:
    """What a reader should know of the swarm as a whole, beside the record's own note.

    Args:
        record: the newest one.
        lost: the coordinator is silent.
    """
    notes = [PAUSED] if record.state == ExperimentState.PAUSED and not lost else []
    if record.barren >= WARN_AFTER and not record.learned_nothing:
        notes.append(without_advantage(record.barren, rounds_closed(record)))
    return notes


def swarm_alarm(record: StateRecord) -> str:
    """The warning that nothing is learned; empty while something is."""
    said = without_advantage(record.barren, rounds_closed(record))
    return f"LEARNED NOTHING: {said}" if record.learned_nothing else ""


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
    start, end = mean(t.pass_at_1_start for t in totals), mean(t.pass_at_1_end for t in totals)
    parts = [
        f"cumulative reward {reward_sum(sum(t.reward for t in totals))}",
        *([] if end is None else [f"pass@1 {change(start, end)}"]),
        f"{large(sum(t.generated_tokens for t in totals))} tokens",
    ]
    return ", ".join(parts) if totals else ""
