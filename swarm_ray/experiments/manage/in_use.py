"""Refuses to change an experiment that is in use."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import msgspec

from drive_store import UNREADABLE, InvalidName, Registry, StateEntry, Valid, newest, read_coordinator_beats
from drive_store.names import parse_beat_name, parse_coordinator_beat_name, parse_registration_name
from swarm_ray.errors import SwarmStateError, UserError
from swarm_ray.exchange.state_follower import decode_state
from swarm_ray.experiments.folder import read_config
from swarm_ray.experiments.local_state import is_run_here
from swarm_ray.experiments.read.experiment import ExperimentFolder
from swarm_ray.experiments.read.metrics import predecessors_of
from swarm_ray.experiments.read.status import shown_state
from swarm_ray.records.nodes import LAST_WORD, Beat, CoordinatorBeat
from swarm_ray.records.state import UNDER_WAY, ExperimentState, StateRecord

_COORDINATOR = "its coordinator"
_UNKNOWN_PATIENCE_S = 600.0
"""Counts where `pace.dead_after_s` cannot be read: that of the preset `colab`, whose nodes beat most rarely."""
_UNREADABLE = "unreadable"
"""The state of one whose newest record this version does not read."""


@dataclass(frozen=True)
class _Standing:
    """What the newest state record says, as far as it can be had."""

    state: str
    entry: StateEntry | None = None
    record: StateRecord | None = None

    @property
    def ended(self) -> bool:
        return self.state not in {*UNDER_WAY, _UNREADABLE}


def refuse_in_use(folder: ExperimentFolder, what: str) -> None:
    """Make sure that an experiment is not in use.

    It is in use while this machine runs it, or a heartbeat is younger than `pace.dead_after_s`, by wall clocks. Until
    it has ended every heartbeat counts. After its end only those count that are not final: of a node that neither is
    done nor failed, which may still train, upload or restart, and of a coordinator of a later epoch than the record
    that ended the experiment. A running swarm needs neither `experiment.json` nor its configuration, so this does not
    either: where the patience in force cannot be read, it is ten minutes, the longest of all presets.

    Args:
        folder: the experiment's.
        what: what is about to be done to it, as in "it cannot be <what>".

    Raises:
        UserError: it is in use.
        StoreError: the folder cannot be read.
    """
    name = folder.paths.experiment
    if is_run_here(folder.address):
        raise UserError(f"a process of this machine runs {name}, so it cannot be {what}; end that one first")
    now = _standing(folder)
    patience = _patience(folder, now.record)
    heartbeats = (
        _heartbeats_after_the_end(folder, now, patience) if now.ended else _all_heartbeats(folder, now)
    )
    who, age = min(heartbeats.items(), key=lambda heartbeat: heartbeat[1], default=("nobody", patience))
    if age >= patience:
        return
    state = now.state
    if now.ended:
        raise UserError(
            f"{name} is {state}, but {who} gave a heartbeat {age:.0f} s ago and has not said that it ended, so it "
            f"cannot be {what}; end it, or wait until it has been silent for {patience:.0f} s"
        )
    raise UserError(
        f"{name} is {state}, and {who} gave a heartbeat {age:.0f} s ago, so it cannot be {what}; wait until it has "
        f"been silent for {patience:.0f} s, or stop it first: swarm-ray stop --root {shlex.quote(folder.address.root)} "
        f"--experiment {name}"
    )


def _standing(folder: ExperimentFolder) -> _Standing:
    entry = newest(folder.view)
    if entry is None:
        return _Standing(ExperimentState.WAITING)
    try:
        record = decode_state(entry)
    except SwarmStateError:
        return _Standing(_UNREADABLE, entry)
    return _Standing(shown_state(record), entry, record)


def _patience(folder: ExperimentFolder, record: StateRecord | None) -> float:
    """Seconds of silence after which a member counts as dead, as far as the configuration can be read."""
    try:
        config = read_config(folder.store, folder.address, record.config_hash if record else "")
    except (UserError, InvalidName):
        return _UNKNOWN_PATIENCE_S
    return config.pace.dead_after_s


def _all_heartbeats(folder: ExperimentFolder, now: _Standing) -> dict[str, float]:
    """Seconds since the last heartbeat of each node and of the coordinator.

    A node that publishes often beats rarely, so its last accepted file counts as a heartbeat.
    """
    paths = folder.paths
    accepted = now.record.closed.accepted if now.record and now.record.closed else ()
    published = {file.node: file.key for file in accepted}
    keys: list[tuple[str, str]] = []
    for text in folder.store.names(paths.peers_folder):
        peer = parse_beat_name(text) or parse_registration_name(text)
        if peer is not None:
            keys.append((peer.node, f"{paths.peers_folder}/{text}"))
            keys += [(peer.node, published[peer.node])] if peer.node in published else []
    for text in folder.store.names(paths.state_folder):
        beat = parse_coordinator_beat_name(text)
        keys += [(_COORDINATOR, f"{paths.state_folder}/{text}")] if beat else []
    if now.entry is not None:
        ref = now.entry.ref
        keys.append((_COORDINATOR, paths.state_record(ref.epoch, ref.sequence, ref.claimant)))
    ages: dict[str, float] = {}
    for who, key in keys:
        try:
            age = folder.age(key)
        except InvalidName:  # a state record may name anything
            continue
        if age is not None:
            ages[who] = min(age, ages.get(who, age))
    return ages


def _heartbeats_after_the_end(folder: ExperimentFolder, now: _Standing, patience: float) -> dict[str, float]:
    """Seconds since the last heartbeat of those that have not said that they ended."""
    epoch = now.entry.ref.epoch if now.entry else 0
    return _nodes_at_work(folder, patience) | _coordinators(folder, above=epoch)


def _nodes_at_work(folder: ExperimentFolder, patience: float) -> dict[str, float]:
    """Nodes whose last heartbeat is fresh and not final, with its age in seconds.

    A process that another one continues is gone: that was made sure of when the other one registered.
    """
    registry = Registry(folder.view)
    gone = {(node, life) for (node, _), life in predecessors_of(folder).items()}
    ages: dict[str, float] = {}
    for text in folder.store.names(folder.paths.peers_folder):
        peer = parse_beat_name(text)
        if peer is None or (peer.node, peer.incarnation) in gone:
            continue
        age = folder.age(folder.paths.beat(peer.node, peer.incarnation))
        if age is not None and age < min(patience, ages.get(peer.node, patience)):
            reading = registry.read_beat(peer.node, peer.incarnation)
            if not (isinstance(reading, Valid) and _is_last(reading.payload)):
                ages[peer.node] = age
    return ages


def _is_last(payload: bytes) -> bool:
    """Whether a heartbeat is a node's last."""
    try:
        beat = msgspec.json.decode(payload, type=Beat)
    except UNREADABLE:
        return False
    return beat.done or beat.phase == LAST_WORD or beat.problem is not None


def _coordinators(folder: ExperimentFolder, above: int) -> dict[str, float]:
    """Seconds since a coordinator of an epoch above the given one gave a heartbeat; empty if none did."""
    ages = []
    for claimant, reading in read_coordinator_beats(folder.view).items():
        try:
            epoch = msgspec.json.decode(reading.payload, type=CoordinatorBeat).epoch
        except UNREADABLE:
            epoch = 0  # no proof of a later epoch
        age = folder.age(folder.paths.coordinator_beat(claimant)) if epoch > above else None
        ages += [age] if age is not None else []
    return {_COORDINATOR: min(ages)} if ages else {}
