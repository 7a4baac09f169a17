"""Whether somebody is at work on an experiment: what may not happen to it then is refused."""

from __future__ import annotations

import shlex

import msgspec

from drive_store import Registry, Valid, read_coordinator_beats
from drive_store.names import parse_beat_name
from swarm_ray.errors import UserError
from swarm_ray.experiments.metrics import predecessors_of
from swarm_ray.experiments.read import OpenExperiment
from swarm_ray.experiments.status import UNDER_WAY, dead_after_s, shown_state, status_of
from swarm_ray.records import Beat, CoordinatorBeat, StateRecord

_COORDINATOR = "its coordinator"
_ENDED = "ended"
"""The phase in a trainer's last word, whether or not it had taken its last step."""


def refuse_in_use(experiment: OpenExperiment, what: str) -> StateRecord | None:
    """Make sure that nobody is at work on an experiment, and answer its newest state record.

    Somebody is who gave a sign less than `pace.dead_after_s` ago; by wall clocks, so as people see it. While the state
    is under way, or there is none yet, every sign counts. One that has ended is at rest as soon as all have said their
    last word: a node whose beat says neither that it is done, nor that it ended or failed, still trains, uploads or
    begins anew; and so does a coordinator whose beat is of a later epoch than the record that ended the experiment.

    Args:
        experiment: which.
        what: what is about to be done to it, as in "it cannot be <what>".

    Raises:
        UserError: somebody is.
        SwarmStateError: the newest state record is not one that this version reads.
        StoreError: the folder cannot be read.
    """
    found = experiment.newest()
    record = found[1] if found else None
    state = shown_state(record) if record else "waiting"
    epoch = found[0].ref.epoch if found else 0
    ended = state not in UNDER_WAY
    patience = dead_after_s(experiment, record or StateRecord("waiting", 1, None, None, {}))
    signs = _nodes_at_work(experiment, patience) | _coordinators(experiment, epoch if ended else -1)
    if not ended:
        signs = _youngest(signs, _all_signs(experiment))
    who, age = min(signs.items(), key=lambda sign: sign[1], default=("nobody", patience))
    if age >= patience:
        return record
    name = experiment.paths.experiment
    if ended:
        raise UserError(
            f"{name} is {state}, but {who} gave a sign {age:.0f} s ago and has not said that it ended, so it cannot be "
            f"{what}; end it, or wait until it has been silent for {patience:.0f} s"
        )
    raise UserError(
        f"{name} is {state}, and {who} gave a sign {age:.0f} s ago, so it cannot be {what}; stop it first: "
        f"swarm-ray stop --root {shlex.quote(experiment.address.root)} --experiment {name}"
    )


def _all_signs(experiment: OpenExperiment) -> dict[str, float]:
    """Seconds since each node, and whoever writes the state log, gave any sign of life."""
    signs = {n.id: n.last_seen_s for n in status_of(experiment).nodes if n.last_seen_s is not None}
    found = experiment.newest()
    if found is not None:
        ref = found[0].ref
        age = experiment.age(experiment.paths.state_record(ref.epoch, ref.sequence, ref.claimant))
        signs |= {_COORDINATOR: age} if age is not None else {}
    return signs


def _nodes_at_work(experiment: OpenExperiment, patience: float) -> dict[str, float]:
    """Nodes whose beat is fresh and no last word, and how many seconds ago they gave it.

    A process that another one continues is gone: whoever registers makes sure of that.
    """
    registry = Registry(experiment.store, experiment.paths)
    gone = {(node, life) for (node, _), life in predecessors_of(experiment).items()}
    signs: dict[str, float] = {}
    for text in experiment.store.names(experiment.paths.peers_folder):
        peer = parse_beat_name(text)
        if peer is None or (peer.node, peer.incarnation) in gone:
            continue
        age = experiment.age(experiment.paths.beat(peer.node, peer.incarnation))
        if age is not None and age < min(patience, signs.get(peer.node, patience)):
            reading = registry.read_beat(peer.node, peer.incarnation)
            if not (isinstance(reading, Valid) and _is_last(reading.payload)):
                signs[peer.node] = age
    return signs


def _is_last(payload: bytes) -> bool:
    """Whether a beat is a node's last word."""
    try:
        beat = msgspec.json.decode(payload, type=Beat)
    except msgspec.MsgspecError:
        return False
    return beat.done or beat.phase == _ENDED or beat.problem is not None


def _coordinators(experiment: OpenExperiment, above: int) -> dict[str, float]:
    """Seconds since a coordinator of an epoch above the given one gave a beat; empty where none did."""
    ages = []
    for claimant, reading in read_coordinator_beats(experiment.store, experiment.paths).items():
        try:
            epoch = msgspec.json.decode(reading.payload, type=CoordinatorBeat).epoch
        except msgspec.MsgspecError:
            epoch = 0  # a sign like any other while the experiment is under way, and no proof of a later term
        age = experiment.age(experiment.paths.coordinator_beat(claimant)) if epoch > above else None
        ages += [age] if age is not None else []
    return {_COORDINATOR: min(ages)} if ages else {}


def _youngest(some: dict[str, float], others: dict[str, float]) -> dict[str, float]:
    inf = float("inf")
    return {who: min(some.get(who, inf), others.get(who, inf)) for who in {*some, *others}}
