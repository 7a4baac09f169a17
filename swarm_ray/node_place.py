"""Whether a node id is free: its last process has said goodbye, lies on this machine, or has been silent for long."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from drive_store import ExperimentPaths, Registry, Store, StoreError, Valid
from swarm_ray.config import PaceConfig
from swarm_ray.display import Display
from swarm_ray.errors import NodeTakenError
from swarm_ray.experiment_folder import ExperimentAddress
from swarm_ray.local_disk import Lock, experiment_state, read_words
from swarm_ray.records import Beat

Mark = tuple[str, int, int, str, int]


def wait_for_place(
    address: ExperimentAddress,
    node: str,
    pace: PaceConfig,
    display: Display,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return when it is certain that no other process trains the node.

    On the machine where it was trained last its lock says so at once. Elsewhere its beats have to stand still for
    `pace.dead_after_s`, as the coordinator judges it, too.

    Raises:
        NodeTakenError: another process trains it, here or elsewhere.
        StoreError: the folder cannot be read.
    """
    home = experiment_state(address) / "nodes" / node
    if home.exists():
        with Lock(home / "lock", f"node {node}"):
            known = list(read_words(home / "incarnations"))
    else:
        known = []
    store = address.open()
    marks = _marks(store, address.paths, node, known)
    began = clock()
    while marks and (passed := clock() - began) < pace.dead_after_s:
        display.step(
            f"node {node} was trained on another machine; waiting {pace.dead_after_s - passed:.0f} s to be sure that "
            "it is gone"
        )
        sleep(min(pace.beat_s, 0.5))
        now = _marks(store, address.paths, node, known)
        if any(mark not in marks for mark in now):
            raise NodeTakenError(
                f"node {node} is alive on another machine of experiment {address.experiment!r}: give another --node "
                "name, or end that one first"
            )


def _marks(store: Store, paths: ExperimentPaths, node: str, known: list[str]) -> set[Mark]:
    """How far each incarnation of another machine is that has not said goodbye."""
    registry = Registry(store, paths)
    found: set[Mark] = set()
    for name, incarnation in registry.registrations():
        if name != node or incarnation in known:
            continue
        reading = registry.read_beat(node, incarnation)
        if not isinstance(reading, Valid):
            continue
        try:
            beat = msgspec.json.decode(reading.payload, type=Beat)
        except msgspec.MsgspecError as error:
            raise StoreError(f"the beat of {node}.{incarnation} cannot be read: {error}") from error
        if not (beat.done or beat.problem):
            found.add((incarnation, beat.round, beat.step, beat.phase, beat.progress))
    return found
