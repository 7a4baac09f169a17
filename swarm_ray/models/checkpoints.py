"""Which checkpoints of a node are in the shared folder, and which of them is meant. Neither torch nor Ray is imported.

Names prove nothing: a checkpoint counts when its manifest is whole and of that node.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drive_store import require_id
from drive_store.checkpoints.local import LocalCheckpoint, LocalCheckpoints
from drive_store.checkpoints.manifest import REQUIRED, Manifest
from drive_store.checkpoints.stored import StoredCheckpoint, StoredCheckpoints
from drive_store.names import parse_peer_folder
from swarm_ray.errors import UserError
from swarm_ray.experiments.read.experiment import OpenExperiment
from swarm_ray.experiments.read.metrics import incarnations_of

Which = int | Literal["last", "best"]
"""A step, the newest checkpoint, or the one with the highest mean own reward since the checkpoint before it."""
_SHOWN = 9
"""How many nodes or steps a message lists."""


@dataclass(frozen=True)
class Candidate:
    """A checkpoint that is in the folder, by its manifest; its files are looked at when it is copied."""

    stored: StoredCheckpoint
    score: float | None
    """Mean own reward since the checkpoint before; None where none was measured."""


class NodeCheckpoints:
    """The checkpoints of one node, newest first.

    Args:
        experiment: where they are.
        node: whose.
        problems: takes a line for each that cannot be used.

    Raises:
        InvalidName: the node's id is not valid.
        UserError: the node has no checkpoint in the folder.
        StoreError: the folder cannot be read.
    """

    def __init__(self, experiment: OpenExperiment, node: str, problems: list[str]) -> None:
        self._experiment, self._node, self._problems = experiment, require_id(node, "node"), problems
        self._stored = StoredCheckpoints(experiment.view, node)
        self._all = self._newest_first()
        if not self._all:
            raise UserError(self._none())

    def candidates(self, which: Which) -> list[Candidate]:
        """The checkpoints that may be meant, in the order in which they are to be tried.

        Raises:
            UserError: it has no checkpoint at that step; those that it has are listed.
        """
        if which == "last":
            return self._all
        if which == "best":
            scored = [candidate for candidate in self._all if candidate.score is not None]
            return sorted(scored, key=lambda candidate: -(candidate.score or 0.0)) or self._all
        found = [candidate for candidate in self._all if candidate.stored.step == which]
        if not found:
            raise UserError(
                f"the folder has no checkpoint of {self._node} at step {which}; it has {self.listed()} "
                "(checkpoint.keep and checkpoint.keep_best say how many stay)"
            )
        return found

    def listed(self) -> str:
        """The steps of all checkpoints, for people."""
        steps = list(dict.fromkeys(candidate.stored.step for candidate in self._all))
        best = self.candidates("best")[0].stored.step
        return (
            f"step{'s'[: len(steps) != 1]} {_some([f'{s} (best)' if s == best else str(s) for s in steps])}"
        )

    def fetch(self, which: Which, folder: Path) -> LocalCheckpoint:
        """Copy the first that is whole, without its optimizer, verified by its hashes.

        Args:
            which: the one that is meant.
            folder: an empty one on this machine's own disk.

        Raises:
            UserError: no checkpoint is whole.
            StoreError: the folder cannot be read, or the disk is full.
        """
        to = LocalCheckpoints(folder, self._experiment.paths.experiment, self._node)
        for candidate in self.candidates(which):
            copied = self._stored.download(candidate.stored, to, REQUIRED)
            if isinstance(copied, LocalCheckpoint):
                return copied
            self._damaged(candidate.stored, copied)
        raise UserError(f"{self._problems[-1]}; it has {self.listed()}")

    def _newest_first(self) -> list[Candidate]:
        lives = incarnations_of(self._experiment).items()
        ages = {life: depth for (node, life), depth in lives if node == self._node}
        found = []
        for stored in self._stored.folders():
            manifest = self._stored.manifest(stored)
            if isinstance(manifest, Manifest):
                found.append(Candidate(stored, manifest.score))
            else:
                self._damaged(stored, manifest)
        # A later incarnation's is newer, whatever its step; see `checkpointing.restore.find_newest`.
        return sorted(
            found, key=lambda o: (ages.get(o.stored.incarnation, -1), o.stored.step, o.stored.incarnation)
        )[::-1]

    def _damaged(self, stored: StoredCheckpoint, why: str) -> None:
        self._problems.append(
            f"the folder's checkpoint of {self._node} at step {stored.step} is not used: {why}"
        )

    def _none(self) -> str:
        name = self._experiment.paths.experiment
        if self._problems:
            return f"experiment {name!r} has no whole checkpoint of {self._node}: {self._problems[0]}"
        nodes = nodes_with_checkpoints(self._experiment)
        if nodes:
            return f"experiment {name!r} has no checkpoint of {self._node}; it has of {_some(nodes)}"
        return (
            f"experiment {name!r} has no checkpoint in the folder yet: a run uploads them every "
            "checkpoint.store_every_s seconds, and at its end"
        )


def _some(names: list[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def nodes_with_checkpoints(experiment: OpenExperiment) -> list[str]:
    """Ids of the nodes that have a folder for checkpoints, sorted."""
    peers = [parse_peer_folder(name) for name in experiment.store.names(experiment.paths.checkpoints_parent)]
    return sorted({peer.node for peer in peers if peer is not None})
