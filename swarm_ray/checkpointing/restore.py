"""Finding a node's newest whole checkpoint, on this machine or in the folder, and giving it to a policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drive_store import ExperimentPaths, ExperimentStore, StoreError
from drive_store.checkpoints.local import LocalCheckpoint, LocalCheckpoints
from drive_store.checkpoints.manifest import Manifest
from drive_store.checkpoints.stored import StoredCheckpoint, StoredCheckpoints
from swarm_ray.checkpointing.node_state import NodeState, decode_state, require_same_model
from swarm_ray.errors import CheckpointError, CheckpointMismatch
from swarm_ray.policies.policy import Policy
from swarm_ray.policies.state import load_tensors, restore

Parts = Literal["all", "weights"]
Origin = Literal["this machine", "the folder"]


@dataclass(frozen=True)
class Found:
    """A whole checkpoint on this machine's own disk."""

    state: NodeState
    weights: Path
    optimizer: Path | None
    """None where it was uploaded without, since it was too large."""
    origin: Origin
    """Where it was found."""

    def describe(self) -> str:
        """What was found, for people."""
        without = "" if self.optimizer else ", without its optimizer (it was too large to upload)"
        return f"step {self.state.step}, round {self.state.round}, from {self.origin}{without}"


def node_checkpoints(folder: Path, paths: ExperimentPaths, node: str) -> LocalCheckpoints:
    """A node's checkpoints below this machine's own folder for checkpoints."""
    return LocalCheckpoints(folder / node, paths.experiment, node)


def find_newest(
    folder: Path,
    experiment: ExperimentStore,
    node: str,
    problems: list[str],
    lives: Sequence[str] = (),
) -> Found | None:
    """The newest whole checkpoint of a node, of whatever incarnation and machine; None without any.

    A later incarnation's goes before an earlier one's, whatever their steps: a process that was thought dead may have
    continued alone after another took its place, and what it made is not the node's any more.

    One from the folder is copied to this machine's own disk. One that is damaged goes with a line in `problems`, and
    the one before is taken; damaged ones on this machine are removed, so that none counts as kept.

    Args:
        folder: this machine's own, for checkpoints of this experiment.
        experiment: the experiment in the shared folder, where uploads are.
        node: whose.
        problems: takes a line for each that cannot be used.
        lives: the node's incarnations, oldest first; others come last.

    Raises:
        StoreError: the folder or the disk cannot be listed or read now, or the disk is full. Only damage is passed
            over: one that is out of reach for a moment may be the newest.
        CheckpointError: the newest on this machine's disk was written by a version that this one does not read.
    """
    own, stored = node_checkpoints(folder, experiment.paths, node), StoredCheckpoints(experiment, node)
    own.clean()
    ranked = _newest_first(own, stored, lives)
    for place, candidate in enumerate(ranked):
        if isinstance(candidate, LocalCheckpoint):
            found = _from_disk(own, candidate, problems)
        else:
            found = _from_store(own, stored, candidate, problems)
        if found is not None:
            _discard_forks(own, ranked[place + 1 :], found, problems)
            return found
    return None


def _discard_forks(
    own: LocalCheckpoints,
    older: Sequence[LocalCheckpoint | StoredCheckpoint],
    found: Found,
    problems: list[str],
) -> None:
    """Remove what this machine went on to make after another had taken the node's place: it would count as newer."""
    for checkpoint in older:
        if isinstance(checkpoint, LocalCheckpoint) and checkpoint.step > found.state.step:
            problems.append(
                f"{checkpoint.path} is removed: a process wrote it after another had taken its place"
            )
            own.discard(checkpoint)


def apply(found: Found, policy: Policy, parts: Parts, expected: Mapping[str, str]) -> None:
    """Give a policy the weights of a checkpoint, and with "all" its optimizer too.

    Args:
        found: the checkpoint.
        policy: a fresh one, on any device.
        parts: "weights" leaves Adam to start afresh, and takes them from another model of the same shapes too.
        expected: the policy's own `fingerprint`.

    Raises:
        CheckpointMismatch: it is of another model or shape; the policy is as before.
        CheckpointError: a file cannot be read.
    """
    if parts == "all":
        require_same_model(found.state, expected)
    optimizer = load_tensors(found.optimizer) if parts == "all" and found.optimizer else None
    try:
        restore(policy, load_tensors(found.weights), optimizer)
    except CheckpointMismatch as error:
        raise CheckpointMismatch(f"node {found.state.node}, step {found.state.step}: {error}") from error


def _newest_first(
    own: LocalCheckpoints, stored: StoredCheckpoints, lives: Sequence[str]
) -> list[LocalCheckpoint | StoredCheckpoint]:
    """By incarnation and step; of one step this machine's first, since it has its optimizer and needs no copying."""
    ranks = {life: rank for rank, life in enumerate(lives)}
    found: list[tuple[int, int, bool, LocalCheckpoint | StoredCheckpoint]] = []
    for local in own.folders():
        manifest = own.manifest(local)
        # One that is damaged comes in its turn by the best place it could have, so that it is reported.
        rank = len(lives) if isinstance(manifest, str) else ranks.get(manifest.incarnation, -1)
        found.append((rank, local.step, True, local))
    found += [(ranks.get(upload.incarnation, -1), upload.step, False, upload) for upload in stored.folders()]
    return [candidate for *_, candidate in sorted(found, key=lambda f: f[:3], reverse=True)]


def _from_disk(own: LocalCheckpoints, checkpoint: LocalCheckpoint, problems: list[str]) -> Found | None:
    try:
        manifest = own.verify(checkpoint)
        if isinstance(manifest, Manifest):
            return _found(checkpoint, manifest, "this machine")
        problems.append(f"{checkpoint.path} is not used, and removed: {manifest}")
        own.discard(checkpoint)
    except StoreError as error:  # the disk fails, which says nothing of what is on it
        problems.append(f"{checkpoint.path} is not used: {error}")
    return None


def _from_store(
    own: LocalCheckpoints, stored: StoredCheckpoints, checkpoint: StoredCheckpoint, problems: list[str]
) -> Found | None:
    name = f"the folder's checkpoint of step {checkpoint.step} by {checkpoint.incarnation}"
    copied = stored.download(checkpoint, own)
    if isinstance(copied, str):
        problems.append(f"{name} is not used: {copied}")
        return None
    manifest = own.manifest(copied)
    try:
        return _found(copied, manifest, "the folder") if isinstance(manifest, Manifest) else None
    except CheckpointError as error:
        problems.append(f"{name} is not used: {error}")
        own.discard(copied)
        return None


def _found(checkpoint: LocalCheckpoint, manifest: Manifest, origin: Origin) -> Found:
    path = checkpoint.file("state.json")
    state = decode_state(path.read_bytes(), str(path))
    if (state.node, state.step) != (manifest.node, manifest.step):
        raise CheckpointError(
            f"{path} is of {state.node}, step {state.step}, and lies with the checkpoint of {manifest.node}, "
            f"step {manifest.step}; remove {checkpoint.path}"
        )
    optimizer = checkpoint.file("optimizer.safetensors") if manifest.entry("optimizer.safetensors") else None
    return Found(state, checkpoint.file("weights.safetensors"), optimizer, origin)
