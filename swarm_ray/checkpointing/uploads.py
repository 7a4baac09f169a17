"""Copies of checkpoints in the shared folder, made from those on the machine's own disk by a thread of its own.

The folder may hang for minutes; checkpoints on the own disk continue meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from drive_store import ExperimentStore, StoreError, StoreFull
from drive_store.checkpoints.local import LocalCheckpoint, LocalCheckpoints
from drive_store.checkpoints.manifest import REQUIRED, Manifest
from drive_store.checkpoints.stored import StoredCheckpoints
from swarm_ray.checkpointing.background import Background, Problems
from swarm_ray.config.schema import CheckpointConfig

Saved = tuple[LocalCheckpoints, LocalCheckpoint]
"""A checkpoint, and where its like are."""
UPLOAD = "upload of checkpoints to the folder"
_SPARE = 1 << 26
"""Bytes of the folder that uploads leave to rollouts and logs."""


class Uploads:
    """Uploads the newest checkpoint of each node from time to time; its thread reports, and never raises.

    Args:
        experiment: the experiment in the shared folder, attached.
        config: how often, how large, how many are kept.
        problems: takes what does not work.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        experiment: ExperimentStore,
        config: CheckpointConfig,
        problems: Problems,
        clock: Callable[[], float] = time.monotonic,
        former: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._experiment, self._config = experiment, config
        self._problems, self._clock, self._former = problems, clock, former
        self._last = clock()
        self._reading: frozenset[LocalCheckpoint] = frozenset()
        self.failed: dict[str, str] = {}
        """Node to why its last upload did not come about; without an entry it did."""
        self.thread = Background("checkpoint upload")

    @property
    def reading(self) -> frozenset[LocalCheckpoint]:
        """Checkpoints that are being uploaded, and must not be removed meanwhile."""
        return frozenset() if self.thread.idle else self._reading

    @property
    def due(self) -> bool:
        """Whether the time has come, and the last upload is done."""
        return self._clock() - self._last >= self._config.store_every_s and self.thread.idle

    def start(self, newest: Mapping[str, Saved]) -> None:
        """Upload these, node by node.

        Raises:
            CheckpointError: the thread has ended.
        """
        self._last = self._clock()
        self._reading = frozenset(checkpoint for _, checkpoint in newest.values())
        self.thread.put(partial(self._upload_all, dict(newest)))

    def _upload_all(self, newest: Mapping[str, Saved]) -> None:
        for node, saved in newest.items():
            try:
                reason = self._upload(node, *saved)
            except StoreError as error:
                reason = f"{type(error).__name__}: {error}"
            if reason:
                self.failed[node] = reason
                self._problems.trouble(
                    node, UPLOAD, reason.partition(":")[0], f"the {UPLOAD} does not work: {reason}"
                )
            else:
                self.failed.pop(node, None)
                self._problems.well(node, UPLOAD)

    def _upload(self, node: str, own: LocalCheckpoints, checkpoint: LocalCheckpoint) -> str:
        """Upload one; the reason where it cannot go."""
        manifest = own.manifest(checkpoint)
        if isinstance(manifest, str):
            return f"damaged: {checkpoint.path}: {manifest}"
        names = within(manifest, self._config.store_bytes)
        if not names:
            return (
                f"too large: without the optimizer, step {manifest.step} has {manifest.only(REQUIRED).total:,} bytes, "
                f"and checkpoint.store_bytes is {self._config.store_bytes:,}; set it higher"
            )
        needed, free = manifest.only(names).total, self._experiment.store.free_space()
        if free is not None and free < needed + _SPARE:
            raise StoreFull(
                f"{self._experiment.store.root} has {free:,} bytes left, and a checkpoint of {needed:,} "
                f"should leave {_SPARE:,} free; make room there (on Drive the trash counts until it is emptied)"
            )
        stored = StoredCheckpoints(self._experiment, node)
        stored.upload(checkpoint, manifest, names)
        former = self._former.get(node) if self._former is not None else None
        stored.prune(manifest.incarnation, self._config.keep, self._config.keep_best, former)
        self._tell_partial(node, manifest, names)
        return ""

    def _tell_partial(self, node: str, manifest: Manifest, names: frozenset[str]) -> None:
        what = "upload of the optimizer"
        if manifest.only(names) == manifest:
            self._problems.well(node, what)
        else:
            self._problems.trouble(
                node,
                what,
                "too large",
                f"checkpoints go to the folder without the optimizer: with it they have {manifest.total:,} bytes, and "
                f"checkpoint.store_bytes is {self._config.store_bytes:,}; a node that resumes from there starts Adam "
                "afresh",
            )


def within(manifest: Manifest, limit: int) -> frozenset[str]:
    """The files that an upload of at most `limit` bytes takes: all, or all but the optimizer, or none."""
    for names in (frozenset(file.name for file in manifest.files), REQUIRED):
        if manifest.only(names).total <= limit:
            return frozenset(names)
    return frozenset()
