"""Where an experiment stands: its newest state record, brought up to date by the nodes' heartbeats."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from drive_store import InvalidName, StateRef, is_dead, read_coordinator_beats
from swarm_ray.config.schema import PaceConfig
from swarm_ray.errors import ConfigError
from swarm_ray.experiments.folder import ExperimentSizes, sizes_of
from swarm_ray.experiments.read.experiment import OpenExperiment
from swarm_ray.experiments.read.liveness import (
    ChangeClock,
    CoordinatorStatus,
    LivenessReader,
    NodeLiveness,
    Peers,
    coordinator_alarm,
)
from swarm_ray.experiments.read.metrics import record_from_nodes
from swarm_ray.formatting import duration
from swarm_ray.identity import animal_name
from swarm_ray.records.nodes import Beat, NodeTotals, Reached
from swarm_ray.records.state import UNDER_WAY, ExperimentState, NodeTally, StateRecord

_RECORD, _COORDINATOR = "newest record", "coordinator"


class NodeStatus(msgspec.Struct, frozen=True):
    """How far a node has come; sums are those since its first step."""

    id: str
    round: int
    """The last round that it took part in; -1 before its first."""
    step: int
    last_seen_s: float | None
    """Seconds since it wrote anything, by wall clocks; None when nothing of it is to be seen."""
    reward: float | None
    """Mean own reward in its last round that closed."""
    external_offered: int
    external_used: int
    external_rejected: int
    unanswered: list[int]
    """Rounds of files that it published and no state record has answered; of an experiment that has ended, those
    that never arrived."""
    alone: bool
    """Whether it trains without a coordinator, as it said last; no word is taken from one that is silent since."""
    recovered: str
    """What its present incarnation took over from the one before, and what not; empty for a node's first."""
    problem: str | None
    pass_at_1_start: float | None
    pass_at_1_end: float | None
    cumulative_reward: float
    """Sum over rounds of the mean raw reward of own completions."""
    generated_tokens: int
    peer_id: str = ""
    """By which libp2p knows it; empty when it told none."""
    animal: str = ""
    """Its name among RL Swarm's users; empty without the extra `genrl`."""
    reached: Reached | None = None
    """How the rollouts of the other workers' nodes came to it, as it said last; None where nobody uses direct links."""


class ExperimentStatus(msgspec.Struct, frozen=True):
    """Where an experiment stands; the keys of `swarm-ray status --json`."""

    experiment: str
    epoch: int
    round: int
    """The open round, or the last one that closed; -1 before the first."""
    rounds: int
    state: ExperimentState
    """As people see it, never draining."""
    note: str
    learned_nothing: bool
    nodes: list[NodeStatus]
    coordinator: CoordinatorStatus | None = None
    """None before the first state record."""


@dataclass(frozen=True)
class ExperimentReading:
    """What one look at an experiment's folder found: the source of `status` and of the live view."""

    experiment: OpenExperiment
    record: StateRecord
    """The newest state record, or what would stand in it before there is one."""
    ref: StateRef | None
    """Names it; None before the first."""
    sizes: ExperimentSizes | None
    """What is told of its configuration; None where that cannot be read."""
    pace: PaceConfig
    """The one in force; the default where it cannot be read."""
    peers: Peers
    nodes: dict[str, NodeLiveness]
    """Of every node that ever announced itself."""
    record_seen_s: float | None
    """Seconds since the newest record changed."""
    coordinator_seen_s: float | None
    """Seconds since any coordinator wrote a record or a beat."""
    coordinator_by_clocks: bool
    """Whether that is told by wall clocks."""

    @property
    def node_ids(self) -> list[str]:
        """Nodes that were taken in, and those that announced themselves, sorted."""
        return sorted({*self.record.tallies, *self.nodes})

    def problems(self, node: str) -> list[str]:
        """What is wrong with a node by its own word or the coordinator's, most certain first."""
        tally, found = self.record.tallies.get(node), self.nodes.get(node)
        beat = found.beat if found else None
        said = (tally and tally.problem, beat and beat.problem, found and found.problem)
        return list(dict.fromkeys(text for text in said if text))

    def refused(self, node: str) -> str:
        """Why a node is kept out of the swarm; empty where it was taken in, or may be.

        Raises:
            StoreError: the folder cannot be read.
        """
        found = self.nodes.get(node)
        if found is None or node in self.record.tallies:
            return ""
        first = self.experiment.identity.config_hash
        refusal = self.peers.refused(node, found.incarnation, first, self.record.config_hash)
        return refusal or ("" if shown_state(self.record) in UNDER_WAY else "took no part")

    def coordinator_problem(self) -> str:
        """What the coordinator's silence means for the nodes; empty while it is heard of, and before the first."""
        if self.ref is None:
            return ""
        return coordinator_alarm(
            self.record.state, self.coordinator_seen_s, self.pace, list(self.nodes.values())
        )

    def status(self) -> ExperimentStatus:
        """Where the experiment stands.

        Raises:
            StoreError: the folder cannot be read.
        """
        record, ref = self.record, self.ref
        return ExperimentStatus(
            experiment=self.experiment.paths.experiment,
            epoch=ref.epoch if ref else 0,
            round=current_round(record),
            rounds=record.rounds,
            state=shown_state(record),
            note=record.note,
            learned_nothing=record.learned_nothing,
            nodes=[_node_status(self, node) for node in self.node_ids],
            coordinator=self._coordinator(ref) if ref else None,
        )

    def all_silent(self) -> bool:
        """Whether nobody has written for long while it is under way; clocks may differ, so one fresh file says no."""
        ages = [*(one.seen_s for one in self.nodes.values()), *([self.record_seen_s] if self.ref else [])]
        silent = all(is_dead(age, self.pace.dead_after_s) for age in ages)
        return silent and shown_state(self.record) in UNDER_WAY

    def _coordinator(self, ref: StateRef) -> CoordinatorStatus:
        """One that beats is alive, however long its rounds take."""
        seen_s = self.coordinator_seen_s
        heard = seen_s is not None and not is_dead(seen_s, self.pace.dead_after_s)
        alive = heard and shown_state(self.record) in UNDER_WAY
        return CoordinatorStatus(ref.claimant, seen_s, alive, self.coordinator_problem() or None)


class ExperimentReader:
    """Looks at an experiment again and again.

    A look costs a few listings, whatever the number of nodes and rounds, and a small read per node and per coordinator
    that there ever was; also one per registration while a node waits to be taken in.

    Args:
        experiment: which.
        clock: seconds, monotonic.
    """

    def __init__(self, experiment: OpenExperiment, clock: Callable[[], float] = time.monotonic) -> None:
        self._experiment, self._changes = experiment, ChangeClock(clock)
        self._liveness = LivenessReader(experiment, self._changes)
        self._settings: dict[str, tuple[ExperimentSizes | None, PaceConfig]] = {}

    def look(self, record: StateRecord | None, ref: StateRef | None) -> ExperimentReading:
        """Read what nodes and coordinators say now.

        Args:
            record: the newest one; None before the first.
            ref: its name.

        Raises:
            StoreError: the folder cannot be read.
        """
        experiment = self._experiment
        sizes, pace = self._settings_in(record.config_hash if record else "")
        if ref is not None:
            self._note_coordinators(ref)
        record = record or record_from_nodes(experiment) or _not_begun(sizes)
        return ExperimentReading(
            experiment=experiment,
            record=record,
            ref=ref,
            sizes=sizes,
            pace=pace,
            peers=self._liveness.peers,
            nodes=self._liveness.look(record),
            record_seen_s=self._changes.silence(_RECORD),
            coordinator_seen_s=self._changes.silence(_COORDINATOR),
            coordinator_by_clocks=self._changes.by_clocks(_COORDINATOR),
        )

    def _note_coordinators(self, ref: StateRef) -> None:
        """Records and beats are both heartbeats of a coordinator, whichever it is."""
        experiment = self._experiment
        paths, found = experiment.paths, read_coordinator_beats(experiment.view)
        beats = {paths.coordinator_beat(claimant): beat.header.sequence for claimant, beat in found.items()}
        key = paths.state_record(ref.epoch, ref.sequence, ref.claimant)
        self._changes.note(_RECORD, ref, lambda: experiment.age(key))

        def age() -> float | None:
            ages = (self._changes.silence(_RECORD), experiment.age(*beats))
            return min((age for age in ages if age is not None), default=None)

        self._changes.note(_COORDINATOR, (ref, beats), age)

    def _settings_in(self, in_force: str) -> tuple[ExperimentSizes | None, PaceConfig]:
        if in_force not in self._settings:
            try:
                config = self._experiment.config(in_force)
                self._settings[in_force] = sizes_of(config), config.pace
            except (ConfigError, InvalidName):
                self._settings[in_force] = None, PaceConfig()
        return self._settings[in_force]


def read_now(experiment: OpenExperiment) -> ExperimentReading:
    """Look at an experiment once.

    Raises:
        ConfigError: it has no state record yet, and its configuration is missing or was altered.
        SwarmStateError: the newest state record is not one that this version reads.
        StoreError: the folder cannot be read.
    """
    entry, record = experiment.newest() or (None, None)
    if entry is None:
        experiment.config()
    return ExperimentReader(experiment).look(record, entry.ref if entry else None)


def shown_state(record: StateRecord) -> ExperimentState:
    """The state as people are told it: a swarm that drains is still running."""
    return ExperimentState.RUNNING if record.state == ExperimentState.DRAINING else record.state


def current_round(record: StateRecord) -> int:
    """The round that is open, or the last one that closed; -1 before the first."""
    stage = record.opens or record.closed
    return stage.round if stage else max((tally.round for tally in record.tallies.values()), default=-1)


def _not_begun(sizes: ExperimentSizes | None) -> StateRecord:
    rounds = sizes.rounds if sizes else 0
    return StateRecord(ExperimentState.WAITING, rounds, None, None, {}, note="its coordinator has not begun")


def _problem(reading: ExperimentReading, node: str) -> str | None:
    """What is wrong with a node, most certain first."""
    known, found = reading.problems(node), reading.nodes.get(node)
    if known:
        return known[0]
    done = found is not None and found.beat is not None and found.beat.done
    if found is not None and found.seen_s is not None and not done and reading.all_silent():
        return f"silent for {duration(found.seen_s)}"
    return reading.refused(node) or None


def _node_status(reading: ExperimentReading, node: str) -> NodeStatus:
    found, tally = reading.nodes.get(node), reading.record.tallies.get(node)
    beat = found.beat if found else None
    expired = reading.record.answers.expired.get(node, ()) if reading.record.answers else ()
    waiting = beat.unanswered if beat and not beat.done else ()
    totals = _totals(tally, beat)
    peer_id = reading.peers.peer_id(node, found.incarnation) if found else ""
    return NodeStatus(
        id=node,
        round=max(tally.round if tally else -1, beat.round if beat else -1),
        step=max(tally.step if tally else 0, beat.step if beat else 0),
        last_seen_s=found.seen_s if found else None,
        reward=tally.reward if tally else None,
        external_offered=totals.offered,
        external_used=totals.used,
        external_rejected=totals.rejected,
        unanswered=sorted({*expired, *waiting}),
        alone=found is not None and found.trains_alone(reading.pace),
        recovered=beat.recovered if beat else "",
        problem=_problem(reading, node),
        pass_at_1_start=totals.pass_at_1_start,
        pass_at_1_end=totals.pass_at_1_end,
        cumulative_reward=totals.reward,
        generated_tokens=totals.generated_tokens,
        peer_id=peer_id,
        animal=animal_name(peer_id),
        reached=beat.reached if beat else None,
    )


def _totals(tally: NodeTally | None, beat: Beat | None) -> NodeTotals:
    """The newer sums; pass@1 from whichever has it, since only beats tell it before the experiment ends."""
    sources = [source.totals for source in (tally, beat) if source is not None]
    if beat is not None and (tally is None or beat.done or beat.step > tally.step):
        sources.reverse()
    newer = sources[0] if sources else NodeTotals()
    start = next((t.pass_at_1_start for t in sources if t.pass_at_1_start is not None), None)
    end = next((t.pass_at_1_end for t in sources if t.pass_at_1_end is not None), None)
    return msgspec.structs.replace(newer, pass_at_1_start=start, pass_at_1_end=end)
