"""The nodes whose records are in the folder's `discovery/`, and the records that can be removed."""

from __future__ import annotations

import time
from typing import Literal

import msgspec

from drive_store import DiscoveryFolder, InvalidName, StoreError, is_dead
from swarm_ray.config.schema import PaceConfig
from swarm_ray.discovery import PeerBook
from swarm_ray.errors import SwarmError
from swarm_ray.experiments.read.experiment import open_experiment, open_root
from swarm_ray.records.nodes import PeerRecord, Reachable, Role


class Peer(msgspec.Struct, frozen=True):
    """A node's record, with how old it is."""

    node: str
    incarnation: str
    experiment: str
    role: Role
    reach: Reachable
    state: Literal["fresh", "stale", "left"]
    """stale: not written for longer than a node of its experiment may be silent. left: the node has ended."""
    age_s: float | None
    """Seconds since it was written, by wall clocks; None where the file has just gone."""
    peer_id: str
    via: str
    multiaddrs: tuple[str, ...]
    started_at: str


class PeerList(msgspec.Struct, frozen=True):
    """What a folder says of its nodes; the keys of `swarm-ray peers --json`."""

    peers: list[Peer]
    unreadable: int
    """Files that hold no record of the node they are named after, or not a whole one."""
    removed: list[str]
    """Records that were removed, as `<node>.<incarnation>`."""


def list_peers(root: str, experiment: str | None = None, *, clean: bool = False) -> PeerList:
    """List the nodes that can be found in a folder.

    What is stale follows from the files' times, for people: a program follows changes, with a `PeerBook`.

    Args:
        root: the folder that holds the experiments.
        experiment: its nodes only; None for all.
        clean: remove the records of nodes that have left, and those of experiments that have ended, whichever they
            are of.

    Raises:
        ExperimentNotFoundError: there is neither a record nor an experiment of that name.
        UserError: the folder does not exist.
        StoreError: the folder cannot be read, or not be written.
    """
    store = open_root(root)
    book, folder = PeerBook(store, ttl_s=PaceConfig().dead_after_s), DiscoveryFolder(store)
    removed = book.cleanup_stale_entries(0.0) if clean else []
    records = [r for r in book.entries() if experiment in {None, r.experiment}]
    if experiment is not None and not records:
        open_experiment(root, experiment)
    patience = {name: _patience(root, name) for name in {r.experiment for r in records}}
    now = time.time()
    found = [_peer(r, folder.age(r.node, r.incarnation, now), patience[r.experiment]) for r in records]
    return PeerList(found, book.get_stats().unreadable, removed)


def _patience(root: str, experiment: str) -> float:
    """Seconds that a node may be silent; the default where that cannot be read."""
    try:
        return open_experiment(root, experiment).config_in_force().pace.dead_after_s
    except (SwarmError, StoreError, InvalidName):
        return PaceConfig().dead_after_s


def _peer(record: PeerRecord, age_s: float | None, patience_s: float) -> Peer:
    silent = age_s is None or is_dead(age_s, patience_s)
    return Peer(
        node=record.node,
        incarnation=record.incarnation,
        experiment=record.experiment,
        role=record.role,
        reach=record.reach,
        state="left" if record.left else "stale" if silent else "fresh",
        age_s=age_s,
        peer_id=record.peer_id,
        via=record.via,
        multiaddrs=record.multiaddrs,
        started_at=record.started_at,
    )
