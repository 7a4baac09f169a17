"""A node's lease: free once its last process has left, was on this machine, or has been silent long enough.

It covers the node's id and its identity.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from drive_store import (
    UNREADABLE,
    DiscoveryFolder,
    ExperimentStore,
    Registry,
    Store,
    StoreError,
    Valid,
    is_dead,
    record_in,
)
from swarm_ray.config.schema import PaceConfig
from swarm_ray.errors import NodeTakenError
from swarm_ray.experiments.folder import ExperimentAddress, local_folder
from swarm_ray.identity import Identity, former_incarnations
from swarm_ray.machine.local_disk import Lock, read_words
from swarm_ray.observe.display import Display
from swarm_ray.records.nodes import Beat, PeerRecord, Registration


@dataclass(frozen=True)
class _Mark:
    """The progress of a possible holder."""

    experiment: str
    node: str
    incarnation: str
    progress: tuple[int | str, ...]
    """What only a live process changes."""


def wait_for_lease(
    address: ExperimentAddress,
    node: str,
    pace: PaceConfig,
    display: Display,
    *,
    identity: Identity | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return when no other process can be training the node or using its identity.

    On the machine where it was trained last, its locks tell at once. Elsewhere its heartbeats must show no progress for
    `pace.dead_after_s`, the coordinator's criterion too.

    Raises:
        NodeTakenError: another process trains it, or has its identity, here or elsewhere.
        StoreError: the folder cannot be read.
    """
    home, gone = local_folder(address) / "nodes" / node, set[str]()
    if home.exists():
        with Lock(home / "lock", f"node {node}"):
            gone.update(read_words(home / "incarnations"))
    if identity is not None:
        gone.update(former_incarnations(identity))
    experiment, peer_id = address.open(), identity.peer_id if identity else ""
    marks = _marks(experiment, node, peer_id, gone)
    began = clock()
    while marks and not is_dead(passed := clock() - began, pace.dead_after_s):
        display.step(
            f"{_before(marks, node)} on another machine; waiting {pace.dead_after_s - passed:.0f} s to be sure that it "
            "has ended"
        )
        sleep(min(pace.beat_s, 0.5))
        alive = _marks(experiment, node, peer_id, gone) - marks
        if alive:
            raise NodeTakenError(_refusal(min(alive, key=lambda m: m.node != node), address, node, identity))


def _before(marks: set[_Mark], node: str) -> str:
    """The last holder, in words."""
    last = min(marks, key=lambda m: (m.node != node, m.node))
    return (
        f"node {node} was trained"
        if last.node == node
        else f"node {last.node} had the identity of node {node}"
    )


def _refusal(mark: _Mark, address: ExperimentAddress, node: str, identity: Identity | None) -> str:
    if identity is None or (mark.experiment, mark.node) == (address.experiment, node):
        return (
            f"node {node} is alive on another machine of experiment {address.experiment!r}: give another --node name, "
            "or end that one first"
        )
    return (
        f"the identity of node {node}, {identity.peer_id} ({identity.file}), is in use on another machine, by node "
        f"{mark.node} of experiment {mark.experiment!r}: end that one first, or give another --node name, which has "
        "its own key"
    )


def _marks(experiment: ExperimentStore, node: str, peer_id: str, gone: set[str]) -> set[_Mark]:
    """The progress of other machines' incarnations with the node's id or peer id that have not left."""
    registry = Registry(experiment)
    found = _marks_elsewhere(experiment.store, experiment.name, peer_id, gone) if peer_id else set[_Mark]()
    for (name, incarnation), reading in registry.registrations().items():
        shown = record_in(reading, Registration)  # the coordinator refuses what cannot be read, and says so
        same_peer = bool(peer_id) and shown is not None and shown.peer_id == peer_id
        if incarnation in gone or not (name == node or same_peer):
            continue
        beat = _beat(registry, name, incarnation, trusted=name == node)
        if beat is not None and not (beat.done or beat.problem):
            progress = (beat.round, beat.step, beat.phase, beat.progress)
            found.add(_Mark(experiment.name, name, incarnation, progress))
    return found


def _marks_elsewhere(store: Store, experiment: str, peer_id: str, gone: set[str]) -> set[_Mark]:
    """The same in the root's other experiments, from `discovery/`."""
    found: set[_Mark] = set()
    for (node, incarnation), reading in DiscoveryFolder(store).read_all().items():
        if incarnation in gone or not isinstance(reading, Valid) or reading.header.experiment == experiment:
            continue
        record = record_in(reading, PeerRecord)  # any process may write there
        if record is not None and record.peer_id == peer_id and not record.left:
            found.add(_Mark(reading.header.experiment, node, incarnation, (reading.header.sequence,)))
    return found


def _beat(registry: Registry, node: str, incarnation: str, *, trusted: bool) -> Beat | None:
    """The last heartbeat; None while it is being written, or if an untrusted node's is invalid."""
    reading = registry.read_beat(node, incarnation)
    if not isinstance(reading, Valid):
        return None
    try:
        return msgspec.json.decode(reading.payload, type=Beat)
    except UNREADABLE as error:
        if not trusted:
            return None
        raise StoreError(f"the beat of {node}.{incarnation} cannot be read: {error}") from error
