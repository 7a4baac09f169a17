"""Nodes as a trainer starts with them: new, or restored from their newest whole checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from drive_store import ExperimentStore, Registry, StateRef, new_incarnation, record_in
from swarm_ray.checkpointing.node_state import fingerprint
from swarm_ray.checkpointing.restore import Found, Parts, apply, find_newest
from swarm_ray.config.schema import PolicyConfig
from swarm_ray.identity import IdentityLock, identity_for, load_or_new
from swarm_ray.machine.local_disk import Lock, read_words
from swarm_ray.policies.policy import Policy
from swarm_ray.records.nodes import Registration
from swarm_ray.records.state import Member
from swarm_ray.sapo.node import Node


class NodeFolder:
    """A node's folder on this machine, held by the one process that trains the node.

    The lock is held for the life of a process, so it proves that every incarnation named here is gone.

    Args:
        state: this machine's folder for the experiment.
        node: the node's id.
        identities: the folder with the keys of named nodes; None gives the node a key that is kept here, for this
            experiment alone.

    Raises:
        NodeTakenError: another process of this machine trains the node or uses its identity.
        IdentityError: its key cannot be read or made.
    """

    def __init__(self, state: Path, node: str, identities: Path | None = None) -> None:
        self.node = node
        folder = state / "nodes" / node
        self.spool = folder / "spool"
        """Where its files wait for answers."""
        self.incarnation = new_incarnation()
        self._locks: list[Lock | IdentityLock] = [Lock(folder / "lock", f"node {node}")]
        try:
            if identities is None:
                # Valid for one experiment only, so it is useless to others who share this disk.
                self.identity = load_or_new(folder / "identity.pem", shared=True)
            else:
                self.identity = identity_for(node, identities)
                self._locks.append(IdentityLock(self.identity, self.incarnation))
        except BaseException:
            self.release()
            raise
        named = folder / "incarnations"
        self.former: tuple[str, ...] = read_words(named)
        """Incarnations that the node had on this machine, oldest first."""
        with named.open("a") as file:
            file.write(f"{self.incarnation}\n")

    def release(self) -> None:
        """Release the node; harmless when repeated."""
        for lock in reversed(self._locks):
            lock.release()


@dataclass
class Restored:
    """The nodes of a trainer, and what is known of their earlier incarnations."""

    nodes: list[Node] = field(default_factory=list)
    folders: dict[str, NodeFolder] = field(default_factory=dict)
    found: dict[str, Found] = field(default_factory=dict)
    """The checkpoint that each node continues, of those that have one."""
    weights_of: dict[str, Found] = field(default_factory=dict)
    """The checkpoint from which a node took the weights alone (`resume=weights`)."""
    former: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """All incarnations that each node had, the newest last."""
    problems: list[str] = field(default_factory=list)
    """Damaged checkpoints, and what could not be restored instead."""

    @property
    def members(self) -> list[Member]:
        """The nodes with their new incarnations."""
        return [Member(n.id, n.incarnation) for n in self.nodes]

    @property
    def succeeds(self) -> dict[str, str]:
        """Node to the incarnation that it continues, of those that had one."""
        return {node: lives[-1] for node, lives in self.former.items() if lives}

    @property
    def state_ref(self) -> StateRef | None:
        """The oldest record after which a node has something to learn; None to begin with the newest."""
        refs = [found.state.state_ref for found in self.found.values() if found.state.state_ref]
        whole = bool(refs) and len(refs) == len(self.found)
        return min(refs, key=lambda ref: ref.position) if whole else None

    @property
    def reads_all(self) -> bool:
        """Whether a node that took part before has no checkpoint, so that the whole log must be read."""
        known = self.found.keys() | self.weights_of.keys()
        return any(lives and node not in known for node, lives in self.former.items())

    def release(self) -> None:
        """Release the nodes; harmless when repeated."""
        for folder in self.folders.values():
            folder.release()


def claim_nodes(
    names: Sequence[str], state: Path, experiment: ExperimentStore, identities: Path | None = None
) -> Restored:
    """Lock each node on this machine, and find its earlier incarnations.

    Args:
        names: node ids.
        state: this machine's folder for the experiment.
        experiment: the experiment in the shared folder.
        identities: the folder with the nodes' keys; None gives each node a key for this experiment alone.

    Raises:
        NodeTakenError: another process of this machine trains a node or uses its identity.
        IdentityError: a node's key cannot be read or made.
    """
    restored = Restored()
    readings = Registry(experiment).registrations()
    try:
        for name in names:
            folder = restored.folders[name] = NodeFolder(state, name, identities)
            announced = [
                record_in(found, Registration) for (node, _), found in readings.items() if node == name
            ]
            restored.former[name] = _lives(list(filter(None, announced)), folder.former)
    except BaseException:
        restored.release()
        raise
    return restored


def restore_nodes(
    restored: Restored,
    policies: Sequence[Policy],
    state: Path,
    experiment: ExperimentStore,
    config: PolicyConfig,
    resume: Parts,
) -> None:
    """Restore each claimed node from its newest whole checkpoint.

    Args:
        restored: takes the nodes.
        policies: a fresh one for each.
        state: this machine's folder for the experiment.
        experiment: the experiment in the shared folder.
        config: of the policies.
        resume: with "weights" the optimizer and all counters start over.

    Raises:
        CheckpointMismatch: a checkpoint is of another model.
    """
    for (name, folder), policy in zip(restored.folders.items(), policies, strict=True):
        node = Node(name, folder.incarnation, policy)
        lives = restored.former[name]
        found = find_newest(state / "checkpoints", experiment, name, restored.problems, lives)
        if found is not None:
            apply(found, policy, resume, fingerprint(config, policy))
            if resume == "all":
                restored.found[name], kept = found, found.state
                node.step, node.round = kept.step, kept.round
                # Copies: a state is frozen, and a node's counters are not.
                node.totals = msgspec.structs.replace(kept.totals)
                node.previous, node.vote = kept.previous, kept.vote
            else:
                restored.weights_of[name] = found
        restored.nodes.append(node)


def _lives(announced: Sequence[Registration], here: Sequence[str]) -> tuple[str, ...]:
    """A node's incarnations: those without a successor come last, and of these this machine's newest."""
    continued = {r.succeeds for r in announced}
    names = {r.incarnation for r in announced}
    known = [name for name in here if name in names]
    return tuple(sorted(names, key=lambda n: (n not in continued, known.index(n) if n in known else -1, n)))
