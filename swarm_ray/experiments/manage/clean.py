"""Removes what an experiment no longer needs, or all of it; a dry run lists it with its bytes."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace

import msgspec

from drive_store import UNREADABLE, valid_id
from drive_store.checkpoints.manifest import MANIFEST, Manifest, choose_kept
from drive_store.checkpoints.stored import StoredCheckpoint, StoredCheckpoints
from drive_store.errors import errors_of
from drive_store.names import VALUE_FILE_SUFFIX, parse_peer_folder, round_of_own_file
from swarm_ray.experiments.folder import local_folder
from swarm_ray.experiments.manage.files import files_below, files_of, folders_of, refuse_link
from swarm_ray.experiments.manage.in_use import refuse_in_use
from swarm_ray.experiments.read.experiment import OpenExperiment, open_experiment
from swarm_ray.experiments.read.metrics import incarnations_of
from swarm_ray.experiments.read.rollouts import UNANSWERED, UNKNOWN, StoredFile, stored_files
from swarm_ray.records.state import ExperimentState, StateRecord

_STATE = "state.json"
_MAX_STATE = 1 << 26


@dataclass(frozen=True)
class Removal:
    """One kind of thing that goes."""

    what: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Cleanup:
    """What was removed, or would be."""

    experiment: str
    removals: tuple[Removal, ...]
    remarks: tuple[str, ...]
    """What stays, and why."""
    done: bool
    """False for what would be removed."""

    @property
    def bytes(self) -> int:
        """Of all that goes."""
        return sum(removal.bytes for removal in self.removals)


class _Position(msgspec.Struct, frozen=True):
    """The part of a checkpoint's `state.json` that says how far the node had come."""

    node: str
    round: int = -1


def cleanup_experiment(root: str, name: str, *, dry_run: bool = True, whole: bool = False) -> Cleanup:
    """Remove what an experiment does not need to be resumed or shown, or the whole of it.

    By default round files go that nobody needs any more, and checkpoints but the newest and the best of each
    node. State records, logs, registrations and configurations stay, so that everything but sample rollouts can be
    shown as before. Of an experiment that has not finished, files stay that a node would learn again from, on its way
    from its newest checkpoint to where the swarm stands.

    Args:
        root: the folder that holds the experiment.
        name: its name.
        dry_run: remove nothing, and say what would go.
        whole: remove the experiment with all that is in its folder, and what this machine keeps of it on its own disk.

    Raises:
        ExperimentNotFoundError: the experiment does not exist.
        UserError: it is in use, or all of it is to go and its folder is a link.
        SwarmStateError: a state record is not one that this version reads, and not all of it is to go.
        StoreError: the folder cannot be read, or does not allow it.
    """
    experiment = open_experiment(root, name)
    if whole:
        refuse_link(experiment, "removed")
    refuse_in_use(experiment, "cleaned")
    if whole:
        return _clean_all(experiment, dry_run=dry_run)
    files, folders, found = _plan(experiment)
    if not dry_run and found.removals:
        store = experiment.store
        store.attach(experiment.paths.experiment_json)
        store.check()
        # First, since a checkpoint without its manifest does not count.
        for key in (*files, *(f"{folder}/{MANIFEST}" for folder in folders)):
            store.remove(key)
        for folder in folders:
            store.remove_tree(folder)
    return replace(found, done=not dry_run)


def _clean_all(experiment: OpenExperiment, *, dry_run: bool) -> Cleanup:
    own = local_folder(experiment.address)
    kinds = {
        "files of the whole experiment": files_of(experiment),
        "files that this machine keeps of it on its own disk": files_below(own),
    }
    removals = [Removal(what, len(files), sum(file.size for file in files)) for what, files in kinds.items()]
    if not dry_run:
        remove_folder(experiment)
        with errors_of("remove the folder", str(own)):
            shutil.rmtree(own, ignore_errors=not own.exists())
    return Cleanup(experiment.paths.experiment, tuple(r for r in removals if r.files), (), done=not dry_run)


def remove_folder(experiment: OpenExperiment) -> None:
    """Remove an experiment's folder, its sentinel last: what an interruption leaves is still found by its name.

    Raises:
        UserError: the folder is a link.
        StoreError: the folder was replaced meanwhile, or does not allow it.
    """
    store, paths = experiment.store, experiment.paths
    refuse_link(experiment, "removed")
    store.attach(paths.experiment_json)
    store.check()
    for part in folders_of(experiment):
        if valid_id(str(part)):
            store.remove_tree(f"{paths.folder}/{part}")
    store.remove_tree(paths.folder)


def _plan(experiment: OpenExperiment) -> tuple[list[str], list[str], Cleanup]:
    """The files and the folders that can go, as the state log and the checkpoints have it, and what they come to."""
    found = experiment.newest()
    sizes = {f"{experiment.paths.folder}/{file.within}": file.size for file in files_of(experiment)}
    remarks: list[str] = []
    kept, old = _checkpoints(experiment)
    below = _first_needed(found[1] if found else None, kept, remarks)
    # What lies behind a link belongs to somebody else: it is in no size, and stays.
    stored = [file for file in stored_files(experiment, remarks) if file.key in sizes]
    folder_of_key = {key: key.rpartition("/")[0] for key in sizes}
    old = sorted(set(old) & set(folder_of_key.values()))
    why = "the state log has answered" if below is not None else "nobody will learn from again"
    going = {
        f"round files that {why}": [file.key for file in stored if _may_go(file, below)],
        "rollouts that a peer had asked for": [key for key in sizes if _is_old_value(key, below)],
        f"files of {len(old)} older checkpoints": [key for key in sizes if folder_of_key[key] in old],
    }
    files, values, _ = going.values()
    removals = [Removal(what, len(keys), sum(sizes[k] for k in keys)) for what, keys in going.items() if keys]
    if len(files) < len(stored):
        remarks.append(f"{len(stored) - len(files)} round files stay: they may be learned from again")
    cleanup = Cleanup(experiment.paths.experiment, tuple(removals), tuple(remarks), done=False)
    return files + values, old, cleanup


def _is_old_value(key: str, below: int | None) -> bool:
    """Whether a file holds a value of a round that nobody will learn from again."""
    number = round_of_own_file(key.rpartition("/")[2]) if key.endswith(VALUE_FILE_SUFFIX) else None
    return number is not None and (below is None or number < below)


def _may_go(file: StoredFile, below: int | None) -> bool:
    """Whether a round file can go: all can where nobody will learn again, else those that were answered long ago."""
    return below is None or (file.name.round < below and file.fate not in (UNANSWERED, UNKNOWN))


def _first_needed(record: StateRecord | None, kept: dict[str, int], remarks: list[str]) -> int | None:
    """The first round that a node may learn again after its newest checkpoint; None where all are done."""
    if record is not None and record.state == ExperimentState.FINISHED:
        return None
    without = sorted(set(record.tallies if record else ()) - set(kept))
    if without:
        remarks.append(
            f"no checkpoint of {', '.join(without)} is in the folder, so all rounds may be learned again"
        )
    return 0 if without else min(kept.values(), default=0)


def _checkpoints(experiment: OpenExperiment) -> tuple[dict[str, int], list[str]]:
    """Node to the round of its newest whole checkpoint, and the folders of checkpoints that can go."""
    lives = incarnations_of(experiment)
    peers = [parse_peer_folder(text) for text in experiment.store.names(experiment.paths.checkpoints_parent)]
    kept: dict[str, int] = {}
    old: list[str] = []
    for node in sorted({peer.node for peer in peers if peer is not None}):
        stored = StoredCheckpoints(experiment.view, node)
        found = sorted(stored.folders(), key=lambda c: (-lives.get((node, c.incarnation), -1), -c.step))
        manifests = [(c, m) for c in found if isinstance(m := stored.manifest(c), Manifest)]
        whole = [(c, m) for c, m in manifests if _is_whole(experiment, node, c, m)]
        if not whole:
            continue
        staying = choose_kept([(c, c.step, m.score) for c, m in whole], keep=1, keep_best=1)
        old += [_folder(experiment, node, c) for c in found if c not in staying]
        kept[node] = _round_of(experiment, node, *whole[0])
    return kept, old


def _is_whole(
    experiment: OpenExperiment, node: str, checkpoint: StoredCheckpoint, manifest: Manifest
) -> bool:
    folder = _folder(experiment, node, checkpoint)
    return all(experiment.store.size(f"{folder}/{entry.name}") == entry.bytes for entry in manifest.files)


def _round_of(experiment: OpenExperiment, node: str, checkpoint: StoredCheckpoint, manifest: Manifest) -> int:
    """The last round that a checkpoint has learned; -1 where its own word cannot be had."""
    data = experiment.store.read(f"{_folder(experiment, node, checkpoint)}/{_STATE}", _MAX_STATE) or b""
    entry = manifest.entry(_STATE)
    with suppress(*UNREADABLE):
        if entry is not None and hashlib.sha256(data).hexdigest() == entry.sha256:
            return msgspec.json.decode(data, type=_Position).round
    return -1


def _folder(experiment: OpenExperiment, node: str, checkpoint: StoredCheckpoint) -> str:
    return experiment.paths.checkpoint(node, checkpoint.incarnation, checkpoint.step)
