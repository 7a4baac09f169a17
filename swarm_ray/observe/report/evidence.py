"""The data of a report on one experiment, read once from its folder, with a list of what could not be read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import msgspec

from drive_store import UNREADABLE, StoreError, read_segments, valid_id
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import SwarmError
from swarm_ray.exchange.state_follower import decode_state
from swarm_ray.experiments.folder import sizes_of
from swarm_ray.experiments.read.compare import Comparison, figures_of
from swarm_ray.experiments.read.experiment import OpenExperiment
from swarm_ray.experiments.read.liveness import Peers
from swarm_ray.experiments.read.metrics import (
    incarnations_of,
    metrics_of,
    stages_from_rows,
    with_logged_rewards,
)
from swarm_ray.experiments.read.status import ExperimentStatus, read_now
from swarm_ray.records.metrics import Evaluation, Event, StepMetrics
from swarm_ray.records.nodes import Beat, StoreUse
from swarm_ray.records.state import UNDER_WAY, StageClosed, StateRecord

MOST = float(1 << 40)
"""More than any valid number in a log; larger ones would make sums infinite."""
MOST_EVENTS = 20_000
"""Of one incarnation; a log that holds more is not read further."""
MOST_ASKED = 1_000_000
"""More questions than anybody holds out."""


@dataclass(frozen=True)
class Record:
    """A state record with the epoch of the coordinator that wrote it."""

    epoch: int
    state: StateRecord


@dataclass(frozen=True)
class Evidence:
    """One experiment."""

    experiment: OpenExperiment
    config: SwarmConfig
    status: ExperimentStatus
    streak: int
    """Rounds in a row, up to the newest, in which no group of any node had an advantage."""
    records: tuple[Record, ...]
    rows: tuple[StepMetrics, ...]
    """Of nodes that took part, with possible numbers only."""
    events: tuple[Event, ...]
    evaluations: dict[str, tuple[Evaluation, Evaluation]]
    """Node to its held-out pass@1 at start and end; nodes that measured only one are left out."""
    beats: tuple[Beat, ...]
    problems: tuple[str, ...]
    """Missing or damaged files, a line each."""

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.experiment.paths.experiment

    @property
    def split(self) -> str:
        """I/J."""
        return f"{self.config.local}/{self.config.external}"

    @property
    def under_way(self) -> bool:
        """Whether it has not ended."""
        return self.status.state in UNDER_WAY

    @cached_property
    def stages(self) -> tuple[StageClosed, ...]:
        """The stages that closed, in order; of a game's rewards its nodes' rows tell, and not the state log."""
        closed = tuple(r.state.closed for r in self.records if r.state.closed is not None)
        if not self.config.game:
            return closed
        return tuple(with_logged_rewards(closed, self.rows)) if closed else tuple(stages_from_rows(self.rows))

    @cached_property
    def rounds(self) -> tuple[int, ...]:
        """The rounds that closed."""
        return tuple(sorted({stage.round for stage in self.stages}))

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """The nodes of which a file counted."""
        return tuple(sorted({node for stage in self.stages for node in stage.rewards}))

    @cached_property
    def figures(self) -> Comparison:
        """The figures by which experiments are compared."""
        return figures_of(sizes_of(self.config), self.status, self.stages)

    @cached_property
    def round_means(self) -> list[float]:
        """The mean own reward over the nodes by round; rounds in which nothing counted are left out."""
        found: dict[int, list[float]] = {}
        for stage in self.stages:
            found.setdefault(stage.round, []).extend(stage.rewards.values())
        return [math.fsum(rewards) / len(rewards) for _, rewards in sorted(found.items()) if rewards]

    def cumulative(self, rounds: int | None = None) -> float:
        """Sum of the mean own rewards over nodes and rounds; over the first so many rounds, or all."""
        return math.fsum(self.node_sums(rounds).values())

    def node_sums(self, rounds: int | None = None) -> dict[str, float]:
        """Node to the sum of its mean own rewards over the first so many rounds, or all."""
        rounds_counted = set(self.rounds[:rounds])
        counted = [stage.rewards for stage in self.stages if stage.round in rounds_counted]
        return {node: math.fsum(rewards.get(node, 0.0) for rewards in counted) for node in self.nodes}

    @cached_property
    def store_use(self) -> StoreUse | None:
        """Store operations of all processes, as far as reported; None if none were."""
        told = [u for u in (*(r.store for r in self.rows), *(s.store for s in self.stages)) if u is not None]
        told += [beat.store for beat in self.beats if beat.store is not None]
        kinds: Counter[str] = Counter()
        for use in told:
            kinds.update(use.operations)
        read, written = sum(use.bytes_read for use in told), sum(use.bytes_written for use in told)
        return StoreUse(kinds, read, written) if told else None


def read_evidence(experiment: OpenExperiment) -> Evidence:
    """Read all that a report shows of an experiment.

    Torn records and segments and invalid rows are left out and listed in `problems`.

    Raises:
        ConfigError: its stored configuration is missing or was altered.
        SwarmStateError: the newest state record is not one that this version reads.
        StoreError: the folder cannot be read.
    """
    problems: list[str] = []
    records = _records(experiment, problems)
    known = {node for record in records for node in record.state.tallies}
    lives = incarnations_of(experiment)
    rows = [row for row in metrics_of(experiment, problems) if _possible(row, known, problems)]
    events = _events(experiment, lives, problems)
    config, reading = experiment.config_in_force(), read_now(experiment)
    return Evidence(
        experiment=experiment,
        config=config,
        status=reading.status(),
        streak=reading.record.barren,
        records=tuple(records),
        rows=tuple(rows),
        events=tuple(events),
        evaluations=_evaluations_in(events, {s.name for s in config.tasks.specialties}),
        beats=tuple(_beats(experiment, lives)),
        problems=tuple(problems),
    )


def _records(experiment: OpenExperiment, problems: list[str]) -> list[Record]:
    records, log = [], experiment.log()
    problems += log.problems
    for entry in log.entries:
        try:
            records.append(Record(entry.ref.epoch, decode_state(entry)))
        except SwarmError as error:
            problems.append(str(error))
    return records


def _possible(row: StepMetrics, known: set[str], problems: list[str]) -> bool:
    """Whether a row is of a node that took part and has plausible numbers."""
    if row.node not in known or not valid_id(row.node):
        problems.append(
            f"a row of metrics names the node {row.node[:64]!r}, which took no part; it was left out"
        )
        return False
    counters = row.counters
    numbers = [row.round, row.step, row.reward_mixed, row.local, row.external, *row.seconds.values()]
    numbers += [counters.offered, counters.used, counters.generated_tokens]
    numbers += [*counters.used_from.values(), *counters.rejected.values(), *_use_numbers(row.store)]
    if 0 <= row.reward <= 1 and all(0 <= number <= MOST for number in numbers):
        return True
    problems.append(f"a row of metrics of {row.node} holds an impossible number; it was left out")
    return False


def _use_numbers(use: StoreUse | None) -> Iterable[int]:
    return () if use is None else (*use.operations.values(), use.bytes_read, use.bytes_written)


def _beats(experiment: OpenExperiment, lives: Iterable[tuple[str, str]]) -> list[Beat]:
    """The last heartbeat of every incarnation with one; status reports problems with the others."""
    peers, beats = Peers(experiment), list[Beat]()
    for node, incarnation in lives:
        with suppress(StoreError):
            beat, _ = peers.beat(node, incarnation)
            beats += (
                [beat] if beat and all(0 <= number <= MOST for number in _use_numbers(beat.store)) else []
            )
    return beats


def _events(
    experiment: OpenExperiment, lives: Mapping[tuple[str, str], int], problems: list[str]
) -> list[Event]:
    """The events of all nodes, by time as their machines' clocks had it; earlier incarnations first."""
    events: list[Event] = []
    for node, life in sorted(lives, key=lambda peer: (lives[peer], peer)):
        for number, line in enumerate(read_segments(experiment.view, node, life, "events", problems)):
            if number == MOST_EVENTS:
                problems.append(f"{node} logged more than {MOST_EVENTS} events; the rest was left out")
                break
            try:
                event = msgspec.json.decode(line, type=Event)
                events.append(msgspec.structs.replace(event, node=node))
            except UNREADABLE as error:
                problems.append(f"{node}: row {number} of its events cannot be read: {error}")
    return sorted(events, key=lambda event: event.at)


def _evaluations_in(
    events: Iterable[Event], specialties: Collection[str]
) -> dict[str, tuple[Evaluation, Evaluation]]:
    """What nodes measured on held-out questions: the first start and the last end of each.

    Figures of specialties that the configuration does not name, and impossible shares, are left out.
    """
    found: dict[str, dict[str, Evaluation]] = {"start": {}, "end": {}}
    for event in (event for event in events if event.kind == "evaluation"):
        try:
            said = msgspec.json.decode(event.text, type=Evaluation)
        except UNREADABLE:
            continue
        if said.when not in found or (said.when == "start" and event.node in found["start"]):
            continue
        shares = {s: v for s, v in said.by_specialty.items() if s in specialties and 0 <= v <= 1}
        asked = {s: said.questions.get(s, 0) for s in shares}
        whole = said.pass_at_1 if said.pass_at_1 is not None and 0 <= said.pass_at_1 <= 1 else None
        if all(0 <= count <= MOST_ASKED for count in asked.values()):
            found[said.when][event.node] = Evaluation(event.node, said.when, whole, shares, asked)
    first, last = found["start"], found["end"]
    return {node: (first[node], last[node]) for node in sorted(first.keys() & last.keys())}
