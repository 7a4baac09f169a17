"""What the nodes logged: rows of metrics, where the time of a round went, and what both say of a game.

A game without a coordinator has no state log: where it stands follows from its nodes' heartbeats and their rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter, itemgetter
from statistics import median_low

import msgspec
from msgspec.structs import replace

from drive_store import UNREADABLE, Registry, read_segments, record_in
from swarm_ray.errors import ConfigError, MalformedFile
from swarm_ray.experiments.read.experiment import ExperimentFolder, OpenExperiment, report
from swarm_ray.experiments.read.liveness import Peers
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.nodes import FINAL_PHASE, Beat, Registration
from swarm_ray.records.state import ExperimentState, NodeTally, StageClosed, StateRecord
from swarm_ray.sapo.phases import OVERHEAD, PHASES


class TimeBreakdown(msgspec.Struct, frozen=True):
    """Where the time of a round goes."""

    first: int
    """The first round that was counted."""
    last: int
    """The last one."""
    rounds: int
    """How many were counted."""
    seconds: dict[str, float]
    """Phase to seconds per round, summed over nodes; trainers that work side by side add up."""
    overhead: float | None
    """Share of publish, gather, select, report and other in all time but waiting; None without time."""


def metrics_of(experiment: OpenExperiment, problems: list[str] | None = None) -> list[StepMetrics]:
    """The rows of all nodes, one for each step that a node took, by round and then by node.

    Of a step that was logged more than once the row of its first taking counts, and where two processes went on with
    one node, that of the later incarnation.

    Args:
        experiment: whose.
        problems: takes a line for each segment that is torn or missing, and each row that cannot be read.

    Raises:
        MalformedFile: there is such a problem, and no list was passed for it.
        StoreError: the folder cannot be read.
    """
    reported: list[str] = []
    ranked = [
        ((not row.replayed, depth), row)
        for (node, life), depth in incarnations_of(experiment).items()
        for row in _rows(experiment, node, life, reported)
    ]
    ranked.sort(key=itemgetter(0), reverse=True)
    best = {(row.node, row.step): row for _, row in reversed(ranked)}
    if problems is None:
        reported = [f"{experiment.store.root}/{line}" for line in reported]
    report(reported, problems, MalformedFile)
    return sorted(best.values(), key=attrgetter("round", "node", "step"))


def time_breakdown(rows: Sequence[StepMetrics], first: int = 10, last: int = 60) -> TimeBreakdown:
    """Where the time went, in rounds `first` to `last`.

    The first rounds are left out since what is loaded late is paid for there; a run that ended before round
    `first` is counted whole.

    Args:
        rows: of all nodes.
        first: the first round to count.
        last: the last one.
    """
    counted = [row for row in rows if first <= row.round <= last] or list(rows)
    rounds = {row.round for row in counted}
    seconds = dict.fromkeys(PHASES, 0.0)
    for row in counted:
        for phase, spent in row.seconds.items():
            seconds[phase] = seconds.get(phase, 0.0) + spent / len(rounds)
    busy = sum(seconds.values()) - seconds["wait"]
    return TimeBreakdown(
        first=min(rounds, default=-1),
        last=max(rounds, default=-1),
        rounds=len(rounds),
        seconds=seconds,
        overhead=sum(seconds[phase] for phase in OVERHEAD) / busy if busy > 0 else None,
    )


def incarnations_of(experiment: OpenExperiment) -> dict[tuple[str, str], int]:
    """Nodes and incarnations that were announced, with how many incarnations each one continues."""
    continues = predecessors_of(experiment)
    return {peer: _depth(peer, continues) for peer in sorted(continues)}


def predecessors_of(experiment: ExperimentFolder) -> dict[tuple[str, str], str]:
    """Nodes and incarnations that were announced, with the incarnation that each one continues; empty for a first."""
    registrations = Registry(experiment.view).registrations()
    said = {peer: record_in(reading, Registration) for peer, reading in registrations.items()}
    return {peer: one.succeeds if one else "" for peer, one in said.items()}  # status says what is refused


def _depth(peer: tuple[str, str], continues: dict[tuple[str, str], str]) -> int:
    node, seen = peer[0], {peer[1]}
    life = continues[peer]
    while life and life not in seen:
        seen.add(life)
        life = continues.get((node, life), "")
    return len(seen) - 1


def _rows(
    experiment: OpenExperiment, node: str, incarnation: str, problems: list[str]
) -> Iterator[StepMetrics]:
    lines = read_segments(experiment.view, node, incarnation, "metrics", problems)
    for number, line in enumerate(lines):
        try:
            yield msgspec.json.decode(line, type=StepMetrics)
        except UNREADABLE as error:
            folder = experiment.paths.logs_folder(node, incarnation)
            problems.append(f"{folder}: row {number} of its metrics cannot be read: {error}")


def record_from_nodes(experiment: OpenExperiment) -> StateRecord | None:
    """A state record for a game that has no coordinator to write one; None before its first round.

    Raises:
        StoreError: the folder cannot be read.
    """
    try:
        config = experiment.config()
    except ConfigError:
        return None
    if not config.game:
        return None
    beats = _newest_beats(experiment)
    if not any(beat.round >= 0 for beat in beats.values()):
        return None
    tallies = {
        node: NodeTally(beat.round, beat.step, None, beat.totals, beat.problem)
        for node, beat in sorted(beats.items())
    }
    # A game that was extended is beyond its configuration; one node's word does not count against most others'.
    rounds = max(config.rounds, median_low(beat.round for beat in beats.values()) + 1)
    return StateRecord(
        _state(beats.values()),
        rounds,
        None,
        None,
        tallies,
        note="no coordinator: its nodes close rounds at a deadline",
    )


def stages_from_rows(rows: Iterable[StepMetrics]) -> list[StageClosed]:
    """Closed stages for the rounds that a game's nodes logged."""
    by_round = attrgetter("round")
    return [_closed(number, list(told)) for number, told in groupby(sorted(rows, key=by_round), by_round)]


def with_logged_rewards(stages: Iterable[StageClosed], rows: Iterable[StepMetrics]) -> list[StageClosed]:
    """A game's stages, the first of each round with what the nodes logged of that round, the others with nothing.

    A game's files hold the reward of the round before, and no file that of the last one.
    """
    told = {(closed.round, 0): closed for closed in stages_from_rows(rows)}
    nothing = StageClosed.empty(0, 0)
    pairs = [(stage, told.get((stage.round, stage.stage), nothing)) for stage in stages]
    return [replace(stage, rewards=one.rewards, informative=one.informative) for stage, one in pairs]


def _newest_beats(experiment: OpenExperiment) -> Mapping[str, Beat]:
    """Of each node the beat of the incarnation that has come furthest."""
    peers, found = Peers(experiment), dict[str, Beat]()
    for node, lives in peers.announced().items():
        beats = [beat for life in sorted(lives) if (beat := peers.beat(node, life)[0]) is not None]
        if beats:
            found[node] = max(
                beats, key=lambda beat: (beat.round, not beat.done and beat.phase != FINAL_PHASE)
            )
    return found


def _state(beats: Iterable[Beat]) -> ExperimentState:
    """Finished once all nodes are done, stopped once no node plays."""
    known = list(beats)
    if all(beat.done for beat in known):
        return ExperimentState.FINISHED
    return ExperimentState.STOPPED if all(beat.ended for beat in known) else ExperimentState.RUNNING


def _closed(number: int, rows: list[StepMetrics]) -> StageClosed:
    return replace(
        StageClosed.empty(number, 0),
        rewards={row.node: row.reward for row in rows},
        informative={row.node: row.local - row.counters.zero_advantage_local for row in rows},
        seconds=max(math.fsum(row.seconds.values()) for row in rows),
    )
