"""Where an experiment stands: its newest state record, made fresher by the nodes' beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from drive_store import InvalidName, StateRef
from swarm_ray.config.schema import PaceConfig
from swarm_ray.errors import ConfigError
from swarm_ray.experiments.read.coordinator import CoordinatorStatus, coordinator_alarm
from swarm_ray.experiments.read.experiment import OpenExperiment
from swarm_ray.experiments.read.node_liveness import Peers, coordinator_signs, taking_part
from swarm_ray.experiments.read.uncoordinated import told_by_nodes
from swarm_ray.formatting import duration
from swarm_ray.identity import animal_name
from swarm_ray.records.nodes import Beat, NodeTotals, Reached
from swarm_ray.records.state import UNDER_WAY, ExperimentState, NodeTally, StateRecord


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
class _Sign:
    """What one incarnation of a node last gave of itself."""

    incarnation: str
    beat: Beat | None
    problem: str | None
    age: float | None


def status_of(experiment: OpenExperiment) -> ExperimentStatus:
    """Read where an experiment stands.

    Costs a few listings, whatever the number of nodes and rounds, and two small reads per node, and one per coordinator
    that there ever was; also one per registration while a node waits to be taken in.

    Raises:
        SwarmStateError: the newest state record is not one that this version reads.
        StoreError: the folder cannot be read.
    """
    found = experiment.newest()
    if found is None:
        told = told_by_nodes(experiment)
        if told is None:
            rounds = experiment.config().rounds
            told = StateRecord(
                ExperimentState.WAITING, rounds, None, None, {}, note="its coordinator has not begun"
            )
        return _status(experiment, told, None)
    entry, record = found
    return _status(experiment, record, entry.ref)


def shown_state(record: StateRecord) -> ExperimentState:
    """The state as people are told it: a swarm that drains is still running."""
    return ExperimentState.RUNNING if record.state == ExperimentState.DRAINING else record.state


def current_round(record: StateRecord) -> int:
    """The round that is open, or the last one that closed; -1 before the first."""
    if record.opens is not None:
        return record.opens.round
    if record.closed is not None:
        return record.closed.round
    return max((tally.round for tally in record.tallies.values()), default=-1)


def _status(experiment: OpenExperiment, record: StateRecord, ref: StateRef | None) -> ExperimentStatus:
    peers, pace = Peers(experiment), _pace(experiment, record)
    signs = _read_signs(experiment, peers, record)
    state = shown_state(record)
    key = experiment.paths.state_record(ref.epoch, ref.sequence, ref.claimant) if ref else ""
    record_age = experiment.age(key) if ref else None
    ages = [*([record_age] if ref else []), *(sign.age for sign in signs.values())]
    silent = state in UNDER_WAY and _all_silent(pace.dead_after_s, ages)
    nodes = []
    for node in sorted({*record.tallies, *signs}):
        sign, tally = signs.get(node), record.tallies.get(node)
        problem = _problem(tally, sign, silent=silent)
        if problem is None and tally is None and sign is not None:
            refused = peers.refused(node, sign.incarnation, record.config_hash)
            problem = refused or (None if state in UNDER_WAY else "took no part")
        expired = record.answers.expired.get(node, ()) if record.answers else ()
        alone = sign is not None and _trains_alone(sign, pace)
        peer_id = peers.peer_id(node, sign.incarnation) if sign else ""
        nodes.append(_node_status(node, tally, sign, problem, expired, peer_id, alone=alone))
    return ExperimentStatus(
        experiment=experiment.paths.experiment,
        epoch=ref.epoch if ref else 0,
        round=current_round(record),
        rounds=record.rounds,
        state=state,
        note=record.note,
        learned_nothing=record.learned_nothing,
        nodes=nodes,
        coordinator=_coordinator(experiment, ref.claimant, state, record_age, pace, [*signs.values()])
        if ref
        else None,
    )


def _coordinator(
    experiment: OpenExperiment,
    claimant: str,
    state: ExperimentState,
    record_age: float | None,
    pace: PaceConfig,
    signs: list[_Sign],
) -> CoordinatorStatus:
    """Who coordinates; one that beats is alive, however long its rounds take."""
    ages = [record_age, coordinator_signs(experiment).age(experiment)]
    seen_s = min((age for age in ages if age is not None), default=None)
    alone = [sign.incarnation for sign in signs if _trains_alone(sign, pace)]
    silent = sum(_is_silent(sign, pace) for sign in signs)
    problem = coordinator_alarm(state, seen_s, pace, alone, silent, len(signs))
    alive = state in UNDER_WAY and seen_s is not None and seen_s <= pace.dead_after_s
    return CoordinatorStatus(claimant, seen_s, alive, problem or None)


def _read_signs(experiment: OpenExperiment, peers: Peers, record: StateRecord) -> dict[str, _Sign]:
    """The sign of each node that ever announced itself; of several incarnations, the one that takes part."""
    published = {file.node: file.key for file in record.closed.accepted} if record.closed else {}
    members = taking_part(record)
    signs: dict[str, _Sign] = {}
    for node, found in peers.announced().items():
        asked = {members[node]} if node in members else found
        candidates = [_read_sign(experiment, peers, node, i, published.get(node)) for i in sorted(asked)]
        signs[node] = max(candidates, key=lambda sign: sign.beat.step if sign.beat else -1)
    return signs


def _read_sign(
    experiment: OpenExperiment, peers: Peers, node: str, incarnation: str, published: str | None
) -> _Sign:
    """Read a beat; a node that publishes often beats rarely, so its last accepted file is a sign as well.

    One that died before its first beat is as old as its registration.
    """
    keys = [experiment.paths.beat(node, incarnation), *([published] if published else [])]
    ages = [age for key in keys if (age := experiment.age(key)) is not None]
    age = min(ages, default=None)
    if age is None:
        age = experiment.age(experiment.paths.registration(node, incarnation))
    beat, problem = peers.beat(node, incarnation)
    return _Sign(incarnation, beat, problem or None, age)


def _pace(experiment: OpenExperiment, record: StateRecord) -> PaceConfig:
    """The patience that is in force; the default where that cannot be read."""
    try:
        return experiment.config(record.config_hash).pace
    except (ConfigError, InvalidName):
        return PaceConfig()


def _all_silent(dead_after: float, ages: Sequence[float | None]) -> bool:
    """Whether nobody has written for so many seconds; clocks may differ, so one fresh sign says no."""
    return all(age is not None and age > dead_after for age in ages)


def _problem(tally: NodeTally | None, sign: _Sign | None, *, silent: bool) -> str | None:
    """What is wrong with a node, most certain first."""
    beat = sign.beat if sign else None
    known = (tally and tally.problem) or (beat and beat.problem) or (sign and sign.problem)
    if known:
        return known
    if silent and sign is not None and sign.age is not None and not (beat and beat.done):
        return f"silent for {duration(sign.age)}"
    return None


def _is_silent(sign: _Sign, pace: PaceConfig) -> bool:
    return sign.age is not None and sign.age > pace.dead_after_s


def _trains_alone(sign: _Sign, pace: PaceConfig) -> bool:
    beat = sign.beat
    return beat is not None and beat.alone and not beat.done and not _is_silent(sign, pace)


def _node_status(
    node: str,
    tally: NodeTally | None,
    sign: _Sign | None,
    problem: str | None,
    expired: Sequence[int],
    peer_id: str,
    *,
    alone: bool,
) -> NodeStatus:
    beat = sign.beat if sign else None
    waiting = beat.unanswered if beat and not beat.done else ()
    totals = _totals(tally, beat)
    return NodeStatus(
        id=node,
        round=max(tally.round if tally else -1, beat.round if beat else -1),
        step=max(tally.step if tally else 0, beat.step if beat else 0),
        last_seen_s=sign.age if sign else None,
        reward=tally.reward if tally else None,
        external_offered=totals.offered,
        external_used=totals.used,
        external_rejected=totals.rejected,
        unanswered=sorted({*expired, *waiting}),
        alone=alone,
        recovered=beat.recovered if beat else "",
        problem=problem,
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
