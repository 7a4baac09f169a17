"""Checkpoints in the shared folder: copies of local ones, under the incarnation that made them, manifest last."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from drive_store.checkpoints.local import LocalCheckpoint, LocalCheckpoints
from drive_store.checkpoints.manifest import (
    KIND,
    MANIFEST,
    MAX_MANIFEST,
    FileEntry,
    Manifest,
    choose_kept,
    manifest_of,
    mismatch,
    seal_manifest,
)
from drive_store.errors import NotAFile, StoreUnavailable, TooLarge
from drive_store.experiment_store import ExperimentStore
from drive_store.names import parse_peer_folder, require_id

__all__ = ["StoredCheckpoint", "StoredCheckpoints"]

_STEP = re.compile(r"step_([0-9]{6}|[1-9][0-9]{6,8})")


@dataclass(frozen=True)
class StoredCheckpoint:
    """A folder of the store that may hold a checkpoint."""

    incarnation: str
    step: int


class StoredCheckpoints:
    """The checkpoints of one node in the store, of all its incarnations; its living incarnation alone writes.

    Args:
        experiment: where they are; attached, if something is to be written.
        node: the node they must belong to.
    """

    def __init__(self, experiment: ExperimentStore, node: str) -> None:
        self._experiment, self._node = experiment, require_id(node, "node")
        self._store, self._paths = experiment.store, experiment.paths

    def folders(self) -> list[StoredCheckpoint]:
        """All that look like checkpoints by their names, whole or not, the newest step first.

        Raises:
            StoreError: the store cannot be listed.
        """
        peers = map(parse_peer_folder, self._store.names(self._paths.checkpoints_parent))
        found = [
            StoredCheckpoint(peer.incarnation, int(step[1]))
            for peer in peers
            if peer is not None and peer.node == self._node
            for name in self._store.names(self._paths.checkpoints_folder(*peer.peer))
            if (step := _STEP.fullmatch(name)) is not None
        ]
        return sorted(found, key=lambda checkpoint: (-checkpoint.step, checkpoint.incarnation))

    def manifest(self, checkpoint: StoredCheckpoint) -> Manifest | str:
        """The manifest of a checkpoint, or why it cannot be used; its files are not looked at.

        Raises:
            StoreError: the store cannot be read.
        """
        return manifest_of(
            self._experiment.read(
                self._key(checkpoint, MANIFEST),
                KIND,
                self._node,
                checkpoint.incarnation,
                max_payload=MAX_MANIFEST,
            ),
            self._node,
            checkpoint.step,
        )

    def upload(self, local: LocalCheckpoint, manifest: Manifest, names: Collection[str]) -> None:
        """Copy a local checkpoint into the store.

        What an earlier try of the same step left is completed or replaced: without its manifest it is nothing.

        Args:
            local: the checkpoint.
            manifest: its manifest.
            names: the files to copy; one may go without its optimizer.

        Raises:
            StoreError: the store does not take it; the next try may.
        """
        goal = manifest.only(names)
        target = StoredCheckpoint(manifest.incarnation, manifest.step)
        self._store.check()
        there = self.manifest(target)
        if there == goal:
            return
        self._store.make_folder(self._paths.checkpoint(self._node, target.incarnation, target.step))
        self._store.remove(self._key(target, MANIFEST))
        for entry in goal.files:
            # A file that a manifest vouched for before is there already, if it is seen.
            if isinstance(there, str) or there.entry(entry.name) != entry or not self._seen(target, entry):
                self._store.remove(self._key(target, entry.name))
                self._store.put_file(self._key(target, entry.name), local.file(entry.name))
        missing = [entry.name for entry in goal.files if not self._seen(target, entry)]
        if missing:
            raise StoreUnavailable(
                f"{self._key(target, missing[0])} is not seen whole after it was written; it is tried again later"
            )
        self._store.create(self._key(target, MANIFEST), seal_manifest(goal, self._paths.experiment))

    def download(
        self, checkpoint: StoredCheckpoint, to: LocalCheckpoints, names: Collection[str] | None = None
    ) -> LocalCheckpoint | str:
        """Copy a checkpoint to the machine's own disk, verified; or why it is damaged.

        Args:
            checkpoint: which.
            to: where the copy goes.
            names: the files that are needed, `REQUIRED` among them; None takes all that it has.

        Raises:
            StoreError: the store cannot be read, or the disk does not take it.
        """
        manifest = self.manifest(checkpoint)
        if isinstance(manifest, str):
            return manifest
        manifest = manifest if names is None else manifest.only(names)
        to.clean()
        target = to.fresh(checkpoint.step)
        for entry in manifest.files:
            reason = self._copy_out(checkpoint, entry, target)
            if reason:
                to.discard(target)
                return reason
        to.commit(target, manifest)
        return target

    def prune(self, incarnation: str, keep: int, keep_best: int, former: Sequence[str] | None = None) -> None:
        """Remove all but the newest and the best, and what killed uploads left.

        Args:
            incarnation: the living one, whose uploads without a manifest are remains. Those of others may be on
                their way still, and go once they are older than all that is kept.
            keep: how many of the newest steps stay.
            keep_best: how many of the best scores of all stay.
            former: incarnations that the living one continues, oldest first. Nothing of others is touched, and what
                a former one wrote counts as older, whatever its step: it may have gone on while it was thought dead.
                None takes all for one line, by their steps.

        Raises:
            StoreError: the store does not allow it; the next call continues.
        """
        found = self.folders()
        if former is not None:
            lives = [*former, incarnation]
            ours = [checkpoint for checkpoint in found if checkpoint.incarnation in lives]
            found = sorted(ours, key=lambda c: (-lives.index(c.incarnation), -c.step))
        read = [(checkpoint, self.manifest(checkpoint)) for checkpoint in found]
        kept = choose_kept(
            [(c, c.step, m.score) for c, m in read if isinstance(m, Manifest)], keep, keep_best
        )
        oldest = min((checkpoint.step for checkpoint in kept), default=0)
        for checkpoint, manifest in read:
            remains = isinstance(manifest, str)
            if remains and checkpoint.incarnation != incarnation and checkpoint.step >= oldest:
                continue
            if checkpoint not in kept:
                self._store.check()
                self._store.remove(self._key(checkpoint, MANIFEST))
                self._store.remove_tree(
                    self._paths.checkpoint(self._node, checkpoint.incarnation, checkpoint.step)
                )

    def _copy_out(self, checkpoint: StoredCheckpoint, entry: FileEntry, target: LocalCheckpoint) -> str:
        """Copy one file and check it; the reason where it is not what the manifest says."""
        key, path = self._key(checkpoint, entry.name), target.file(entry.name)
        try:
            self._store.get_file(key, path, entry.bytes)
        except (TooLarge, NotAFile) as error:
            return str(error)
        return mismatch(path, entry, durable=True)

    def _seen(self, checkpoint: StoredCheckpoint, entry: FileEntry) -> bool:
        return self._store.size(self._key(checkpoint, entry.name)) == entry.bytes

    def _key(self, checkpoint: StoredCheckpoint, name: str) -> str:
        return f"{self._paths.checkpoint(self._node, checkpoint.incarnation, checkpoint.step)}/{name}"
