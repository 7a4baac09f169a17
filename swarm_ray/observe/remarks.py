"""What a live view says of nodes and of the swarm beside their figures. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from swarm_ray.config.schema import PaceConfig, SwarmConfig
from swarm_ray.experiments.read.coordinator import PAUSED
from swarm_ray.formatting import change, duration, large, reward_sum
from swarm_ray.observe.node_liveness import Sign
from swarm_ray.observe.snapshot import NodeLine
from swarm_ray.records.nodes import Beat
from swarm_ray.records.state import ENDED, ExperimentState, NodeTally, StateRecord

BARREN_ROUNDS = 5
"""So many rounds in a row without any advantage are worth a word."""


def label(config: SwarmConfig) -> str:
    """`4 local / 4 external`."""
    return f"{config.local} local / {config.external} external"


def with_sign(line: NodeLine, sign: Sign | None, record: StateRecord | None, pace: PaceConfig) -> NodeLine:
    """A node's line, made fresher by its sign of life, with what is wrong in words."""
    if sign is None:
        return line
    beat = sign.beat
    said = [*line.problems, sign.problem]
    if beat is not None:
        line = replace(
            line,
            round=max(line.round, beat.round),
            step=max(line.step, beat.step),
            notes=(beat.recovered,) if beat.recovered else (),
            done=beat.done,
        )
        said.append(beat.problem or "")
    line = replace(line, seen_s=sign.seen_s, by_clocks=sign.by_clocks)
    if (record is None or record.state not in ENDED) and not line.done:
        said += _troubles(line, sign, record, pace)
        line = replace(line, step_s=None, tokens_per_s=None) if is_silent(sign, pace) else line
    return replace(line, problems=tuple(dict.fromkeys(text for text in said if text)))


def _troubles(line: NodeLine, sign: Sign, record: StateRecord | None, pace: PaceConfig) -> list[str]:
    """What is wrong with a node that is to go on."""
    said, beat = [], sign.beat
    if is_silent(sign, pace):
        said.append(f"silent for {duration(sign.seen_s or 0.0)}")
    elif beat is not None and beat.alone:
        said.append("trains alone: it hears of no coordinator")
    opens = record.opens if record else None
    if opens is None:
        return said
    tolerated = pace.staleness if pace.mode == "async" else 0
    behind = opens.round - 1 - line.round
    if behind > tolerated and line.round >= 0:
        said.append(f"{behind} round{'s' if behind > 1 else ''} behind")
    return said + _owed(beat, tolerated)


def _owed(beat: Beat | None, tolerated: int) -> list[str]:
    """Files that wait for long: a beat is older than the newest record, so its own round decides what is old."""
    old = [number for number in beat.unanswered if number < beat.round - tolerated] if beat else []
    if not old:
        return []
    return [f"no answer yet to its file{'s' if len(old) > 1 else ''} of round {_spans(old)}"]


def is_silent(sign: Sign, pace: PaceConfig) -> bool:
    """Whether nothing of a node has changed for so long that the coordinator thinks it dead."""
    return sign.seen_s is not None and sign.seen_s > pace.dead_after_s


def never_arrived(line: NodeLine, record: StateRecord) -> NodeLine:
    """The line of a node whose published files were never seen, once the experiment has ended."""
    expired = record.answers.expired.get(line.node, ()) if record.answers else ()
    if not expired:
        return line
    text = f"its file{'s' if len(expired) > 1 else ''} of round {_spans(expired)} never arrived"
    return replace(line, problems=(*line.problems, text))


def swarm_notes(record: StateRecord, *, lost: bool = False) -> list[str]:
    """What is to be known of the swarm as a whole, beside the record's own note.

    Args:
        record: the newest one.
        lost: nothing is heard of a coordinator.
    """
    notes = []
    if record.state == ExperimentState.PAUSED and not lost:
        notes.append(PAUSED)
    if record.barren >= BARREN_ROUNDS and not record.learned_nothing:
        notes.append(f"no group of any node had an advantage for {record.barren} rounds")
    return notes


def swarm_alarm(record: StateRecord) -> str:
    """That nothing is learned."""
    if not record.learned_nothing:
        return ""
    return f"LEARNED NOTHING: no group of any node had an advantage for {record.barren} rounds"


def result_line(tallies: Sequence[NodeTally]) -> str:
    """What came out: cumulative reward, pass@1 before and after, tokens."""
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
