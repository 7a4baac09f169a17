"""Renames an experiment: writes a copy under the new name, then removes the old one.

Every envelope says which experiment it belongs to, so that no file can be slipped from one into another, and state
records name round files by their whole keys and their predecessors by hash. A folder that was only moved is therefore
refused by every reader. So each envelope is opened, checked and sealed again, the chain of the state log is hashed
again, and checkpoints get the new hash of their record; payloads of round files, weights and logs stay
byte for byte. What machines keep on their own disks is bound to the old name and is not found any more.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from drive_store import StateEntry
from drive_store.errors import errors_of
from swarm_ray.errors import ExperimentExistsError, MalformedFile, UserError
from swarm_ray.experiments.folder import ExperimentAddress, require_free
from swarm_ray.experiments.manage.clean import remove_folder
from swarm_ray.experiments.manage.copy import ExperimentCopier, Renamed
from swarm_ray.experiments.manage.files import FolderFiles, files_of, folder_of, refuse_link
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
