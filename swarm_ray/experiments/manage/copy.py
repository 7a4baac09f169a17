"""Writes an experiment into another folder, under another name; `rename` says why its files are not just copied."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from drive_store import UNREADABLE, Expected, ExperimentPaths, Valid, open_envelope, seal_json, seal_packed
from drive_store.checkpoints.manifest import MANIFEST, Manifest, manifest_of, seal_manifest
from drive_store.names import parse_state_name
from swarm_ray.errors import MalformedFile
from swarm_ray.experiments.manage.files import FolderFile, folders_of
from swarm_ray.experiments.read.experiment import OpenExperiment

_SENTINEL = "experiment.json"
_STATE = "state.json"
_LIMIT = 64 << 20
_HASH = re.compile(rb"[0-9a-f]{64}")
_KINDS = {
    ("peers", ".json"): "registration",
    ("peers", ".beat"): "beat",
    ("state", ".beat"): "coordinator",
    ("requests", ".json"): "request",
    ("rollouts", ".rollouts"): "rollouts",
    ("rollouts", ".value"): "value",
}
"""Folder and ending of the files that are envelopes, with what they hold."""


@dataclass(frozen=True)
class Renamed:
    """What was done."""

    experiment: str
    files: int
    bytes: int
    sealed: int
    """Envelopes that were sealed again."""


class ExperimentCopier:
    """Writes an experiment into another folder.

    Args:
        experiment: which.
        paths: those of its new name.
        folder: where to; an empty one.
    """

    def __init__(self, experiment: OpenExperiment, paths: ExperimentPaths, folder: Path) -> None:
        self._experiment, self._paths, self._folder = experiment, paths, folder
        self._old = experiment.paths.experiment
        self._hashes: dict[str, str] = {}
        self._sealed = 0

    def write(self, files: Sequence[FolderFile]) -> Renamed:
        """Write everything, the state log first, since checkpoints name its records, and the identity last."""
        for text in sorted({str(file.within.parent) for file in files}):
            (self._folder / text).mkdir(parents=True, exist_ok=True)
        for part in folders_of(self._experiment):
            (self._folder / part).mkdir(exist_ok=True)
        records = [file for file in files if _is_record(file.within)]
        for file in sorted(records, key=_sequence):
            self._put(file, self._record(file))
        checkpoints = [file for file in files if file.within.parts[0] == "checkpoints"]
        for file in checkpoints:
            self._checkpoint_file(file)
        written = {*records, *checkpoints}
        for file in files:
            if file not in written:
                self._other(file)
        return Renamed(self._paths.experiment, len(files), sum(file.size for file in files), self._sealed)

    def _other(self, file: FolderFile) -> None:
        kind = _KINDS.get((file.within.parts[0], file.within.suffix))
        if str(file.within) == _SENTINEL:
            identity = msgspec.structs.replace(self._experiment.identity, experiment=self._paths.experiment)
            self._put(file, msgspec.json.format(msgspec.json.encode(identity), indent=1) + b"\n")
        elif kind is None:
            shutil.copy2(file.path, self._folder / file.within)
        else:
            self._put(file, self._resealed(file.path.read_bytes(), kind))

    def _record(self, file: FolderFile) -> bytes:
        """A state record with the new keys and the new hash of its predecessor."""
        data = file.path.read_bytes()
        opened = open_envelope(data, Expected(kind="state", experiment=self._old, max_payload=_LIMIT))
        if not isinstance(opened, Valid):
            return data
        try:
            value = _with_keys(
                msgspec.json.decode(opened.payload), f"experiments/{self._old}/", f"{self._paths.folder}/"
            )
        except UNREADABLE as error:
            raise MalformedFile(f"{file.path} is not a state record: {error}") from error
        payload = msgspec.json.encode(value)
        self._hashes[opened.sha256] = hashlib.sha256(payload).hexdigest()
        previous = self._hashes.get(opened.header.previous, opened.header.previous)
        self._sealed += 1
        return seal_json(
            msgspec.structs.replace(opened.header, experiment=self._paths.experiment, previous=previous),
            payload,
        )

    def _checkpoint_file(self, file: FolderFile) -> None:
        """Weights as they are; a node's state with the new hash of its record, and a manifest that fits."""
        if file.within.name == _STATE:
            self._put(file, self._node_state(file.path.read_bytes()))
        elif file.within.name != MANIFEST:
            shutil.copy2(file.path, self._folder / file.within)
        else:
            data = file.path.read_bytes()
            opened = open_envelope(
                data, Expected(kind="checkpoint", experiment=self._old, max_payload=_LIMIT)
            )
            header = opened.header if isinstance(opened, Valid) else None
            manifest = manifest_of(opened, header.node, header.sequence) if header else "no envelope"
            if isinstance(manifest, Manifest):
                state = self._node_state((file.path.parent / _STATE).read_bytes())
                self._sealed += 1
                data = seal_manifest(_fitted(manifest, state), self._paths.experiment)
            self._put(file, data)

    def _node_state(self, data: bytes) -> bytes:
        """A node's `state.json` with the new hash of the record it stands at."""
        hashes = {old.encode(): new.encode() for old, new in self._hashes.items()}
        return _HASH.sub(lambda found: hashes.get(found[0], found[0]), data)

    def _resealed(self, data: bytes, kind: str) -> bytes:
        """The envelope sealed for the new name; what is not a whole envelope stays as it is."""
        opened = open_envelope(data, Expected(kind=kind, experiment=self._old, max_payload=_LIMIT))
        if not isinstance(opened, Valid):
            return data
        self._sealed += 1
        header = msgspec.structs.replace(opened.header, experiment=self._paths.experiment)
        return (seal_packed if kind == "rollouts" else seal_json)(header, opened.payload)

    def _put(self, file: FolderFile, data: bytes) -> None:
        target = self._folder / file.within
        target.write_bytes(data)
        shutil.copystat(file.path, target)


def _is_record(within: PurePosixPath) -> bool:
    return within.parts[0] == "state" and parse_state_name(within.name) is not None


def _sequence(file: FolderFile) -> int:
    name = parse_state_name(file.within.name)
    return name.sequence if name else -1


def _with_keys(value: Any, old: str, new: str) -> Any:
    """A JSON value in which the keys of files that begin with `old` begin with `new`."""
    if isinstance(value, list):
        return [_with_keys(item, old, new) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: new + item[len(old) :]
        if name == "key" and isinstance(item, str) and item.startswith(old)
        else _with_keys(item, old, new)
        for name, item in value.items()
    }


def _fitted(manifest: Manifest, state: bytes) -> Manifest:
    """The manifest with the size and the hash of a node's state as it is now."""
    files = tuple(
        msgspec.structs.replace(entry, bytes=len(state), sha256=hashlib.sha256(state).hexdigest())
        if entry.name == _STATE
        else entry
        for entry in manifest.files
    )
    return msgspec.structs.replace(manifest, files=files)
