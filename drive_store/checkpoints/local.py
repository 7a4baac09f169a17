"""Checkpoints on the machine's own disk: folders of opaque files that count once their manifest is there.

A folder is written once: files, each made durable, then the manifest, then the folder itself. What a killed process
left has no manifest, is never taken for a checkpoint, and goes when the next one is written.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from drive_store.checkpoints.manifest import (
    KIND,
    LIMITS,
    MANIFEST,
    MAX_MANIFEST,
    FileEntry,
    FileName,
    Manifest,
    choose_kept,
    describe_file,
    manifest_of,
    mismatch,
    seal_manifest,
)
from drive_store.envelope import Expected, open_envelope
from drive_store.errors import StoreError, errors_of
from drive_store.names import require_id, require_number
from drive_store.store.transfer import sync_folder, write_durably

__all__ = ["Content", "LocalCheckpoint", "LocalCheckpoints", "Manifest"]

Content = bytes | Callable[[Path], object]
"""A file's bytes, or what writes them to a path."""
_FOLDER = re.compile(r"step_(?P<step>[0-9]{6}|[1-9][0-9]{6,8})(?:\.(?P<attempt>[1-9][0-9]{0,8}))?")


@dataclass(frozen=True, order=True)
class LocalCheckpoint:
    """A folder that may hold a checkpoint; of one step, the highest attempt is the newest."""

    step: int
    attempt: int
    path: Path

    def file(self, name: FileName) -> Path:
        """Where one of its files is."""
        return self.path / name


class LocalCheckpoints:
    """The checkpoints of one node on this machine's own disk; one process at a time may write them.

    Args:
        folder: holds the folders of the node's checkpoints, of all its incarnations here.
        experiment: the experiment they must belong to.
        node: the node they must belong to.
    """

    def __init__(self, folder: Path, experiment: str, node: str) -> None:
        self.folder = folder
        self._experiment, self._node = require_id(experiment, "experiment"), require_id(node, "node")

    def folders(self) -> list[LocalCheckpoint]:
        """All that look like checkpoints by their name, whole or not, the newest first.

        Raises:
            StoreError: the disk cannot be read.
        """
        with errors_of("list the folder", str(self.folder)):
            entries = list(self.folder.iterdir()) if self.folder.is_dir() else []
        found = [_named(path) for path in entries if path.is_dir() and not path.is_symlink()]
        return sorted((named for named in found if named is not None), reverse=True)

    def write(
        self, step: int, incarnation: str, files: Mapping[FileName, Content], score: float | None = None
    ) -> LocalCheckpoint:
        """Write a checkpoint; when this returns, a loss of power does not lose it.

        Args:
            step: the node's count of updates. One step may be written again; the later one is the newer.
            incarnation: who writes.
            files: contents by name.
            score: what the best checkpoints are told by, the higher the better.

        Raises:
            StoreError: the disk does not take it; nothing of it is left, and older ones are as before.
        """
        self.clean()
        target = self.fresh(step)
        try:
            entries = tuple(self._write_file(target.file(name), name, files[name]) for name in files)
            self.commit(target, Manifest(self._node, incarnation, step, entries, score))
        except BaseException:
            shutil.rmtree(target.path, ignore_errors=True)
            raise
        return target

    def fresh(self, step: int) -> LocalCheckpoint:
        """An empty folder for a checkpoint of a step.

        Raises:
            StoreError: it cannot be made.
        """
        attempts = [other.attempt for other in self.folders() if other.step == require_number(step, "step")]
        attempt = max(attempts, default=-1) + 1
        target = LocalCheckpoint(
            step, attempt, self.folder / (f"step_{step:06d}" + (f".{attempt}" if attempt else ""))
        )
        with errors_of("make the folder", str(target.path)):
            target.path.mkdir(parents=True)
        return target

    def commit(self, target: LocalCheckpoint, manifest: Manifest) -> None:
        """Write the manifest, after which the folder is a checkpoint; its files are durable already.

        Raises:
            StoreError: the disk does not take it.
        """
        path = target.path / MANIFEST
        with errors_of("write", str(path)):
            write_durably(path, seal_manifest(manifest, self._experiment))
            sync_folder(self.folder)

    def manifest(self, checkpoint: LocalCheckpoint) -> Manifest | str:
        """The manifest of a checkpoint, or why it cannot be used; its files are not looked at.

        Raises:
            StoreError: the disk cannot be read.
        """
        path = checkpoint.path / MANIFEST
        with errors_of("read", str(path)):
            data = path.read_bytes() if path.exists() else None
        reading = open_envelope(
            data, Expected(kind=KIND, experiment=self._experiment, node=self._node, max_payload=MAX_MANIFEST)
        )
        return manifest_of(reading, self._node, checkpoint.step)

    def verify(self, checkpoint: LocalCheckpoint) -> Manifest | str:
        """The manifest of a checkpoint whose files are all what it says, or why they are not.

        Raises:
            StoreError: the disk cannot be read.
        """
        manifest = self.manifest(checkpoint)
        if isinstance(manifest, str):
            return manifest
        reasons = (mismatch(checkpoint.file(entry.name), entry) for entry in manifest.files)
        return next(filter(None, reasons), manifest)

    def discard(self, checkpoint: LocalCheckpoint) -> None:
        """Remove a checkpoint, its manifest first.

        Raises:
            StoreError: the disk does not allow it.
        """
        with errors_of("remove the folder", str(checkpoint.path)):
            (checkpoint.path / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(checkpoint.path)

    def clean(self) -> None:
        """Remove what killed writers left: folders without a manifest.

        Raises:
            StoreError: the disk does not allow it.
        """
        for folder in self.folders():
            if not (folder.path / MANIFEST).exists():
                self.discard(folder)

    def prune(self, keep: int, keep_best: int, spare: Collection[LocalCheckpoint] = ()) -> None:
        """Remove all but the newest and the best.

        Args:
            keep: how many of the newest steps stay.
            keep_best: how many of the best scores of all stay.
            spare: checkpoints that somebody reads just now.

        Raises:
            StoreError: the disk does not allow it.
        """
        read = [(checkpoint, self.manifest(checkpoint)) for checkpoint in self.folders()]
        whole = [(c, c.step, m.score) for c, m in read if isinstance(m, Manifest)]
        kept = choose_kept(whole, keep, keep_best)
        for checkpoint, *_ in whole:
            if checkpoint not in kept and checkpoint not in spare:
                self.discard(checkpoint)

    def _write_file(self, path: Path, name: FileName, content: Content) -> FileEntry:
        with errors_of("write", str(path)):
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                content(path)
        entry = describe_file(path, name, durable=True)
        if entry.bytes > LIMITS[name]:
            raise StoreError(f"{path} has {entry.bytes} bytes, and no checkpoint's {name} may have so many")
        return entry


def _named(path: Path) -> LocalCheckpoint | None:
    found = _FOLDER.fullmatch(path.name)
    return None if found is None else LocalCheckpoint(int(found["step"]), int(found["attempt"] or 0), path)
