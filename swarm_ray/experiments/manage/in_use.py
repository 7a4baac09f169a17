"""Says that an experiment is in use, and refuses to change one that is."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import suppress
from math import inf

from drive_store import InvalidName, StateEntry, is_dead, newest, read_coordinator_beats, record_in
from drive_store.names import parse_coordinator_beat_name
from swarm_ray.errors import NodeTakenError, SwarmStateError, UserError
from swarm_ray.exchange.state_follower import decode_state
from swarm_ray.experiments.folder import ExperimentAddress, local_folder, read_config
from swarm_ray.experiments.read.experiment import ExperimentFolder
from swarm_ray.experiments.read.liveness import Peers
from swarm_ray.experiments.read.metrics import predecessors_of
from swarm_ray.experiments.read.status import shown_state
from swarm_ray.machine.local_disk import Lock
from swarm_ray.records.nodes import CoordinatorBeat
from swarm_ray.records.state import ENDED, ExperimentState, StateRecord

_RUN_LOCK = "run.lock"
_COORDINATOR = "its coordinator"
_UNKNOWN_PATIENCE_S = 600.0
"""Counts where `pace.dead_after_s` cannot be read: that of the preset `colab`, whose nodes beat most rarely."""
_UNREADABLE = "unreadable"
"""The state of one whose newest record this version does not read."""


def hold_for_run(address: ExperimentAddress) -> Lock:
    """A lock that says that a process of this machine runs the experiment; several may hold it.

    Raises:
        StoreUnavailable: the experiment's folder cannot be read.
        NodeTakenError: the experiment is just being removed.
    """
    return Lock(local_folder(address) / _RUN_LOCK, f"experiment {address.experiment}", shared=True)


def _is_run_here(address: ExperimentAddress) -> bool:
    """Whether a living process of this machine runs the experiment."""
    path = local_folder(address) / _RUN_LOCK
    try:
        if path.exists():
            Lock(path, address.experiment).release()
    except NodeTakenError:
        return True
    return False


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
    if _is_run_here(folder.address):
        raise UserError(f"a process of this machine runs {name}, so it cannot be {what}; end that one first")
    entry, record = newest(folder.view), None
    with suppress(SwarmStateError):
        record = decode_state(entry) if entry else None
    ended, patience = record is not None and record.state in ENDED, _patience(folder, record)
    keys = _unfinished(folder, entry, patience) if ended else _all_heartbeats(folder, entry, record)
    ages = [(age, who) for who, key in keys if (age := _age(folder, key)) is not None]
    age, who = min(ages, default=(inf, ""))
    if is_dead(age, patience):
        return
    without_record = _UNREADABLE if entry else ExperimentState.WAITING
    state = shown_state(record) if record else without_record
    if ended:
        raise UserError(
            f"{name} is {state}, but {who} gave a heartbeat {age:.0f} s ago and has not said that it ended, so it "
            f"cannot be {what}; end it, or wait until it has been silent for {patience:.0f} s"
        )
    raise UserError(
        f"{name} is {state}, and {who} gave a heartbeat {age:.0f} s ago, so it cannot be {what}; wait until it has "
        f"been silent for {patience:.0f} s, or stop it first: swarm-ray stop --root {shlex.quote(folder.address.root)} "
        f"--experiment {name}"
    )


def _patience(folder: ExperimentFolder, record: StateRecord | None) -> float:
    """Seconds of silence after which a member counts as dead, as far as the configuration can be read."""
    try:
        config = read_config(folder.store, folder.address, record.config_hash if record else "")
    except (UserError, InvalidName):
        return _UNKNOWN_PATIENCE_S
    return config.pace.dead_after_s


def _age(folder: ExperimentFolder, key: str) -> float | None:
    """Seconds since a file was written; None of one that is not seen."""
    with suppress(InvalidName):  # a state record may name anything
        return folder.age(key)
    return None


def _all_heartbeats(
    folder: ExperimentFolder, entry: StateEntry | None, record: StateRecord | None
) -> Iterator[tuple[str, str]]:
    """Who gave a heartbeat, and the key of its file.

    A node that publishes often beats rarely, so its last accepted file counts as a heartbeat.
    """
    paths, lives = folder.paths, Peers(folder).announced()
    for node, incarnations in lives.items():
        for life in incarnations:
            yield node, paths.beat(node, life)
            yield node, paths.registration(node, life)
    if record and record.closed:
        yield from ((file.node, file.key) for file in record.closed.accepted if file.node in lives)
    for text in folder.store.names(paths.state_folder):
        if parse_coordinator_beat_name(text):
            yield _COORDINATOR, f"{paths.state_folder}/{text}"
    if entry is not None:
        yield _COORDINATOR, paths.state_record(entry.ref.epoch, entry.ref.sequence, entry.ref.claimant)


def _unfinished(
    folder: ExperimentFolder, entry: StateEntry | None, patience: float
) -> Iterator[tuple[str, str]]:
    """Who gave a heartbeat that is not final, and the key of its file; of nodes only those that are fresh are read.

    A process that another one continues is gone: that was made sure of when the other one registered.
    """
    peers, paths = Peers(folder), folder.paths
    gone = {(node, life) for (node, _), life in predecessors_of(folder).items()}
    announced = {(node, life) for node, lives in peers.announced().items() for life in lives}
    for node, life in announced - gone:
        age = folder.age(paths.beat(node, life))
        beat = peers.beat(node, life)[0] if age is not None and not is_dead(age, patience) else None
        if beat is None or not beat.ended:
            yield node, paths.beat(node, life)
    last = entry.ref.epoch if entry else 0
    for claimant, reading in read_coordinator_beats(folder.view).items():
        said = record_in(reading, CoordinatorBeat)
        if said is not None and said.epoch > last:  # a beat of the ended term may be left over
            yield _COORDINATOR, paths.coordinator_beat(claimant)
