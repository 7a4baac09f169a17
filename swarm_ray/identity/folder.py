"""Where keys lie: on this machine's own disk, or where the user says; not where experiments are shared."""

from __future__ import annotations

import os
from pathlib import Path

from drive_store import EXPERIMENTS, ID_RULE, ExperimentPaths, valid_id
from swarm_ray.errors import IdentityError
from swarm_ray.machine.local_disk import state_folder

IDENTITIES = "SWARM_RAY_IDENTITIES"
"""The environment variable that names the folder."""
_SUFFIX = ".pem"
_SENTINEL = ExperimentPaths("any").experiment_json.rpartition("/")[2]


def identities_folder() -> Path:
    """`$SWARM_RAY_IDENTITIES`, else `identities` in this machine's own folder (`swarm_ray.machine.local_disk`)."""
    named = os.environ.get(IDENTITIES)
    return Path(named).expanduser().absolute() if named else state_folder().absolute() / "identities"


def identity_file(name: str, folder: Path | None = None) -> Path:
    """The file of a named identity.

    Args:
        name: what a node can be called.
        folder: where keys lie; None for `identities_folder`.

    Raises:
        IdentityError: the name is invalid.
    """
    if not valid_id(name):
        raise IdentityError(f"{name!r} cannot name an identity: {ID_RULE}")
    return (folder or identities_folder()) / f"{name}{_SUFFIX}"


def identity_names(folder: Path) -> list[str]:
    """Names of the identities in a folder, ordered; empty if the folder does not exist.

    Raises:
        IdentityError: it cannot be listed.
    """
    try:
        return sorted(p.stem for p in folder.iterdir() if p.suffix == _SUFFIX and valid_id(p.stem))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise IdentityError(f"the folder {folder} cannot be listed: {error.strerror or error}") from error


def require_private(path: Path) -> None:
    """Refuse a place in a folder that holds experiments: others who share it could take the key.

    Args:
        path: where a key is to lie.

    Raises:
        IdentityError: it lies in a shared folder.
    """
    try:
        real = path.parent.resolve()  # wherever links lead
    except (OSError, RuntimeError) as error:  # Python before 3.13 has its own word for links in a circle
        raise IdentityError(f"the folder {path.parent} leads nowhere: {error}") from error
    for folder in (real, *real.parents):
        if _holds_experiments(folder):
            raise IdentityError(
                f"{path} would lie in {folder}, which holds experiments, and others who share them could take the key: "
                f"name a folder of your own (--folder, {IDENTITIES}), or say --shared to `swarm-ray identity new`"
            )


def _holds_experiments(folder: Path) -> bool:
    """Whether it is a root: many have a folder of that name, and few have an experiment in it."""
    try:
        return any((folder / EXPERIMENTS).glob(f"*/{_SENTINEL}"))
    except OSError:  # a folder that cannot be listed is not one that we share
        return False
