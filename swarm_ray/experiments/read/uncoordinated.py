"""Games without a coordinator: where they stand follows from their nodes' heartbeats and rows of metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import attrgetter
from statistics import median_low

from msgspec.structs import replace

from swarm_ray.errors import ConfigError
from swarm_ray.experiments.read.experiment import OpenExperiment
from swarm_ray.experiments.read.liveness import Peers
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.nodes import FINAL_PHASE, Beat
from swarm_ray.records.state import ExperimentState, NodeTally, StageClosed, StateRecord

NOTE = "no coordinator: its nodes close rounds at a deadline"


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
    return StateRecord(_state(beats.values()), rounds, None, None, tallies, note=NOTE)


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
