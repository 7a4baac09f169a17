"""Renames an experiment: writes a copy under the new name, then removes the old one.

Every envelope says which experiment it belongs to, so that no file can be slipped from one into another, and state
records name round files by their whole keys and their predecessors by hash. A folder that was only moved is therefore
refused by every reader. So each envelope is opened, checked and sealed again, the chain of the state log is hashed
again, and checkpoints get the new hash of their record; payloads of round files, weights and logs stay
byte for byte. What machines keep on their own disks is bound to the old name and is not found any more.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from drive_store import (
    UNREADABLE,
    Expected,
    ExperimentPaths,
    StateEntry,
    Valid,
    open_envelope,
    seal_json,
    seal_packed,
)
from drive_store.checkpoints.manifest import MANIFEST, Manifest, manifest_of, seal_manifest
from drive_store.errors import errors_of
from drive_store.names import parse_state_name
from swarm_ray.errors import ExperimentExistsError, MalformedFile, UserError
from swarm_ray.experiments.folder import ExperimentAddress, identity_json, require_free
from swarm_ray.experiments.manage.clean import remove_folder
from swarm_ray.experiments.manage.files import (
    FolderFile,
    FolderFiles,
    files_of,
    folder_of,
    folders_of,
    refuse_link,
)
from swarm_ray.experiments.manage.in_use import refuse_in_use
from swarm_ray.experiments.read.experiment import OpenExperiment, open_experiment

_NAMED = 3
"""So many of the things that cannot be copied are named."""


def rename_experiment(root: str, old: str, new: str) -> Renamed:
    """Give an experiment another name.

    The old one goes when the new one is whole and reads as the old one did; an interruption before leaves the old one
    as it was, and a folder that is not an experiment. Under its new name it resumes from what its folder holds:
    checkpoints that were not uploaded are lost to it.

    Args:
        root: the folder that holds it.
        old: its name.
        new: the name it is to have.

    Raises:
        ExperimentNotFoundError: the experiment does not exist.
        ExperimentExistsError: the new name is taken.
        UserError: it is in use, is a link, or holds links or names that cannot be copied; or the new name is not valid.
        ConfigError: its stored configuration is missing or was altered.
        SwarmStateError: its newest state record is not one that this version reads.
        MalformedFile: its state log is not whole, so that it cannot be copied.
        StoreError: the folder cannot be read, or does not allow it.
    """
    experiment, address = open_experiment(root, old), ExperimentAddress(root, new)
    try:
        require_free(address, overwrite=False)
    except ExperimentExistsError as error:
        raise ExperimentExistsError(
            f"{new!r} is taken in {root}; take another name, or rename what has it (a folder without an "
            "experiment.json is what a rename left that was cut off: remove it)"
        ) from error
    refuse_link(experiment, "renamed")
    refuse_in_use(experiment, "renamed")
    experiment.config_in_force()  # one that cannot be read would not be the same under the new name either
    found = files_of(experiment)
    _require_all(experiment, found)
    before = _whole_log(experiment)
    folder = folder_of(experiment).parent / new
    with errors_of("write", str(folder)):
        folder.mkdir()  # what somebody else makes meanwhile is not removed below
        try:
            done = ExperimentCopier(experiment, address.paths, folder).write(found.files)
            _require_same(experiment, before, open_experiment(root, new))
            refuse_in_use(experiment, "renamed")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    remove_folder(experiment)
    return done


def _require_all(experiment: OpenExperiment, found: FolderFiles) -> None:
    """Make sure that nothing would be lost: what is not copied is removed with the old folder.

    Raises:
        UserError: there is something that cannot be.
    """
    if found.left_out:
        more = len(found.left_out) - _NAMED
        named = "; ".join([*found.left_out[:_NAMED], *([f"and {more} more"] if more > 0 else [])])
        raise UserError(
            f"{experiment.paths.experiment} cannot be renamed, since what is not a plain file would be lost: {named}; "
            "move that elsewhere first"
        )


def _whole_log(experiment: OpenExperiment) -> tuple[StateEntry, ...]:
    """The whole state log, which a copy needs.

    Raises:
        MalformedFile: a record is missing or not whole.
    """
    log = experiment.log()
    if not log.whole:
        raise MalformedFile(f"{'; '.join(log.problems)}; {experiment.paths.experiment} keeps its name")
    return log.entries


def _require_same(old: OpenExperiment, before: Sequence[StateEntry], new: OpenExperiment) -> None:
    """Make sure that the new log has the records of the old one, and the same configuration.

    Raises:
        MalformedFile: it is not.
    """
    after = _whole_log(new)
    whole = [(e.ref.position, e.header.round) for e in before] == [
        (e.ref.position, e.header.round) for e in after
    ]
    if not whole or old.config_in_force() != new.config_in_force():
        raise MalformedFile(
            f"{old.paths.experiment} does not read under its new name as it did; it keeps its old one"
        )


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
        records = {file: number for file in files if (number := _sequence(file)) is not None}
        for file in sorted(records, key=lambda file: records[file]):
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
            self._put(file, identity_json(identity))
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


def _sequence(file: FolderFile) -> int | None:
    """The number of a state record; None of any other file."""
    name = parse_state_name(file.within.name) if file.within.parts[0] == "state" else None
    return name.sequence if name else None


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
