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
    left_out: list[str] = []
    files = files_of(experiment, left_out)
    _require_all(experiment, left_out)
    before = _whole_log(experiment)
    folder = folder_of(experiment).parent / new
    with errors_of("write", str(folder)):
        folder.mkdir()  # what somebody else makes meanwhile is not removed below
        try:
            done = ExperimentCopier(experiment, address.paths, folder).write(files)
            _require_same(experiment, before, open_experiment(root, new))
            refuse_in_use(experiment, "renamed")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    remove_folder(experiment)
    return done


def _require_all(experiment: OpenExperiment, left_out: Sequence[str]) -> None:
    """Make sure that nothing would be lost: what is not copied is removed with the old folder.

    Raises:
        UserError: there is something that cannot be.
    """
    if left_out:
        more = len(left_out) - _NAMED
        named = "; ".join([*left_out[:_NAMED], *([f"and {more} more"] if more > 0 else [])])
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
        self._hashes: dict[str, str] = {}
        self._sealed = 0

    def write(self, files: Sequence[FolderFile]) -> Renamed:
        """Write everything, the state log first, since checkpoints name its records, and the identity last."""
        for text in sorted({str(file.within.parent) for file in files}):
            (self._folder / text).mkdir(parents=True, exist_ok=True)
        for part in folders_of(self._experiment):
            (self._folder / part).mkdir(exist_ok=True)
        for file in sorted(files, key=_turn):
            target, data = self._folder / file.within, self._renewed(file)
            if data is None:
                shutil.copyfile(file.path, target)
            else:
                target.write_bytes(data)
            shutil.copystat(file.path, target)
        return Renamed(self._paths.experiment, len(files), sum(file.size for file in files), self._sealed)

    def _renewed(self, file: FolderFile) -> bytes | None:
        """What a file holds under the new name; None of one that stays as it is."""
        if str(file.within) == _SENTINEL:
            identity = self._experiment.identity
            return identity_json(msgspec.structs.replace(identity, experiment=self._paths.experiment))
        if file.within.parts[0] != "checkpoints":
            kind = (
                "state"
                if _sequence(file) is not None
                else _KINDS.get((file.within.parts[0], file.within.suffix))
            )
            return self._resealed(file, kind) if kind else None
        # Weights stay; a node's state has the new hash of its record, and its manifest fits that.
        if file.within.name == _STATE:
            return self._node_state(file.path)
        return self._manifest(file) if file.within.name == MANIFEST else None

    def _resealed(self, file: FolderFile, kind: str) -> bytes | None:
        """The envelope sealed for the new name; None of what is not a whole envelope.

        A state record gets the new keys, and the new hash of its predecessor.
        """
        opened = self._opened(file, kind)
        if opened is None:
            return None
        header, payload = opened.header, opened.payload
        if kind == "state":
            try:
                record = msgspec.json.decode(payload)
            except UNREADABLE as error:
                raise MalformedFile(f"{file.path} is not a state record: {error}") from error
            old_keys, new_keys = f"{self._experiment.paths.folder}/", f"{self._paths.folder}/"
            payload = msgspec.json.encode(_with_keys(record, old_keys, new_keys))
            self._hashes[opened.sha256] = hashlib.sha256(payload).hexdigest()
        header = msgspec.structs.replace(
            header,
            experiment=self._paths.experiment,
            previous=self._hashes.get(header.previous, header.previous),
        )
        self._sealed += 1
        return (seal_packed if kind == "rollouts" else seal_json)(header, payload)

    def _manifest(self, file: FolderFile) -> bytes | None:
        opened = self._opened(file, "checkpoint")
        manifest = manifest_of(opened, opened.header.node, opened.header.sequence) if opened else None
        if not isinstance(manifest, Manifest):
            return None
        state = self._node_state(file.path.parent / _STATE)
        self._sealed += 1
        return seal_manifest(_fitted(manifest, state), self._paths.experiment)

    def _node_state(self, path: Path) -> bytes:
        """A node's `state.json` with the new hash of the record it stands at."""
        hashes = {old.encode(): new.encode() for old, new in self._hashes.items()}
        return _HASH.sub(lambda found: hashes.get(found[0], found[0]), path.read_bytes())

    def _opened(self, file: FolderFile, kind: str) -> Valid | None:
        name = self._experiment.paths.experiment
        expected = Expected(kind=kind, experiment=name, max_payload=_LIMIT)
        opened = open_envelope(file.path.read_bytes(), expected)
        return opened if isinstance(opened, Valid) else None


def _sequence(file: FolderFile) -> int | None:
    """The number of a state record; None of any other file."""
    name = parse_state_name(file.within.name) if file.within.parts[0] == "state" else None
    return name.sequence if name else None


def _turn(file: FolderFile) -> tuple[int, int]:
    """State records in their order, then checkpoints, then the others."""
    sequence = _sequence(file)
    return (int(file.within.parts[0] != "checkpoints") + 1, 0) if sequence is None else (0, sequence)


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
