"""Removes what an experiment no longer needs, or all of it; a dry run lists it with its bytes."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass

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


@dataclass(frozen=True)
class _Plan:
    """What goes: keys of files and of folders, with what they are called and what they take."""

    files: tuple[str, ...]
    folders: tuple[str, ...]
    removals: tuple[Removal, ...]
    remarks: tuple[str, ...] = ()


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
        removals = _all_of(experiment)
        if not dry_run:
            own = local_folder(experiment.address)
            remove_folder(experiment)
            with errors_of("remove the folder", str(own)):
                shutil.rmtree(own, ignore_errors=not own.exists())
        return Cleanup(name, removals, (), done=not dry_run)
    plan = _plan(experiment)
    if not dry_run and plan.removals:
        experiment.store.attach(experiment.paths.experiment_json)
        experiment.store.check()
        for key in plan.files:
            experiment.store.remove(key)
        for key in plan.folders:
            experiment.store.remove(
                f"{key}/{MANIFEST}"
            )  # first: without its manifest a checkpoint does not count
            experiment.store.remove_tree(key)
    return Cleanup(name, plan.removals, plan.remarks, done=not dry_run)


def _all_of(experiment: OpenExperiment) -> tuple[Removal, ...]:
    files, own = files_of(experiment).files, local_folder(experiment.address)
    removals = [Removal("files of the whole experiment", len(files), sum(file.size for file in files))]
    kept = files_below(own).files
    if kept:
        what = "files that this machine keeps of it on its own disk"
        removals.append(Removal(what, len(kept), sum(file.size for file in kept)))
    return tuple(removals)


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


def _plan(experiment: OpenExperiment) -> _Plan:
    """What can go, as the state log and the checkpoints have it."""
    found = experiment.newest()
    sizes = {f"{experiment.paths.folder}/{file.within}": file.size for file in files_of(experiment).files}
    remarks: list[str] = []
    kept, old = _checkpoints(experiment)
    below = _first_needed(found[1] if found else None, kept, remarks)
    stored = stored_files(experiment, remarks)
    # What lies behind a link belongs to somebody else: it is in no size, and stays.
    stored = [file for file in stored if file.key in sizes]
    old = [folder for folder in old if any(key.rpartition("/")[0] == folder for key in sizes)]
    going = [f.key for f in stored if _may_go(f, below)]
    values = [key for key in sizes if key.endswith(VALUE_FILE_SUFFIX) and _is_old(key, below)]
    old_files = [key for key in sizes if key.rpartition("/")[0] in old]
    why = "the state log has answered" if below is not None else "nobody will learn from again"
    removals = (
        Removal(f"round files that {why}", len(going), sum(sizes.get(k, 0) for k in going)),
        Removal("rollouts that a peer had asked for", len(values), sum(sizes[key] for key in values)),
        Removal(
            f"files of {len(old)} older checkpoints", len(old_files), sum(sizes[key] for key in old_files)
        ),
    )
    if len(going) < len(stored):
        remarks.append(f"{len(stored) - len(going)} round files stay: they may be learned from again")
    return _Plan((*going, *values), tuple(old), tuple(r for r in removals if r.files), tuple(remarks))


def _is_old(key: str, below: int | None) -> bool:
    """Whether a value can go: it is of a round that nobody will learn from again."""
    number = round_of_own_file(key.rpartition("/")[2])
    return number is not None and (below is None or number < below)


def _may_go(file: StoredFile, below: int | None) -> bool:
    """Whether a round file can go: all can where nobody will learn again, else those that were answered long ago."""
    return below is None or (file.name.round < below and file.fate not in (UNANSWERED, UNKNOWN))


def _first_needed(record: StateRecord | None, kept: dict[str, int], remarks: list[str]) -> int | None:
    """The first round that a node may learn again after its newest checkpoint; None where all are done."""
    if record is not None and record.state == ExperimentState.FINISHED:
        return None
    nodes = {*kept, *(record.tallies if record else ())}
    without = sorted(node for node in nodes if node not in kept)
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
    if entry is None or hashlib.sha256(data).hexdigest() != entry.sha256:
        return -1
    try:
        return msgspec.json.decode(data, type=_Position).round
    except UNREADABLE:
        return -1


def _folder(experiment: OpenExperiment, node: str, checkpoint: StoredCheckpoint) -> str:
    return experiment.paths.checkpoint(node, checkpoint.incarnation, checkpoint.step)
