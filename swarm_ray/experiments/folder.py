"""An experiment's folder: its address, its identity (`experiment.json`), its configurations; and this machine's own."""

from __future__ import annotations

import hashlib
import platform
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from drive_store import (
    DISCOVERY,
    EXPERIMENTS,
    ID_RULE,
    UNREADABLE,
    ExperimentPaths,
    ExperimentStore,
    NameTaken,
    Store,
    StoreUnavailable,
    create_experiment_folder,
    valid_id,
)
from swarm_ray.config.load import config_hash, parse_stored, render_yaml
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import ConfigError, ExperimentExistsError, ExperimentNotFoundError, UserError
from swarm_ray.machine.local_disk import state_folder
from swarm_ray.machine.versions import installed_versions

SCHEMA = 1
MAX_IDENTITY = 1 << 20
MAX_CONFIG = 256 * 1024


class ExperimentSizes(msgspec.Struct, frozen=True):
    """Settings that are fixed for an experiment's life, kept where one small read finds them.

    A configuration takes fifty times as long to parse, which a list of a thousand experiments would show.
    """

    local: int
    external: int
    completions: int
    seed: int
    rounds: int
    """At its creation; a state record says how many there are now."""


class ExperimentIdentity(msgspec.Struct, frozen=True):
    """`experiment.json`: the experiment's sentinel, and where it comes from."""

    experiment: str
    schema: int
    config_file: str
    """The key's last part of the configuration, `config-<hash>.yaml`."""
    config_sha256: str
    """Of that file's bytes."""
    config_hash: str
    """Of the swarm-wide settings; a node with another one is refused."""
    coordinators: tuple[str, ...]
    """Claimants that may coordinate."""
    created_at: str
    """Wall clock, ISO 8601, for people."""
    versions: dict[str, str]
    machine: str
    uid: str = ""
    """16 hex digits that no other experiment has; a machine's own folder for it is named after this file."""
    sizes: ExperimentSizes | None = None
    """A copy of what a list of experiments shows; None in one that was made before this was written."""


def require_name(name: str, what: str) -> None:
    """Refuse what cannot be the name of something.

    Args:
        name: of a node or an experiment, say.
        what: what it should name, with its article.

    Raises:
        UserError: it cannot be a name.
    """
    if not valid_id(name):
        raise UserError(f"{name!r} cannot name {what}: {ID_RULE}")


@dataclass(frozen=True)
class ExperimentAddress:
    """Where an experiment is; travels to the actors, each of which opens a store of its own."""

    root: str
    experiment: str

    def __post_init__(self) -> None:
        require_name(self.experiment, "an experiment")

    @property
    def paths(self) -> ExperimentPaths:
        """Every path of the experiment."""
        return ExperimentPaths(self.experiment)

    def open(self) -> ExperimentStore:
        """The experiment's folder, with its store attached to the experiment's sentinel.

        Raises:
            StoreUnavailable: the experiment's folder cannot be read.
        """
        store = Store(self.root)
        store.attach(self.paths.experiment_json)
        return ExperimentStore(store, self.paths)


def create_experiment(
    address: ExperimentAddress,
    config: SwarmConfig,
    *,
    claimant: str,
    overwrite: bool = False,
    created_at: str | None = None,
) -> ExperimentIdentity:
    """Make the folder with its configuration and sentinel, the sentinel last.

    Args:
        address: the experiment.
        config: what it begins with.
        claimant: who may coordinate it.
        overwrite: delete an experiment of that name first.
        created_at: what is said of the time, ISO 8601; None takes the clock's.

    Raises:
        ExperimentExistsError: there is one of that name, and `overwrite` is not set.
        StoreError: the folder cannot be written.
    """
    store, paths = Store(address.root), address.paths
    if not require_free(address, overwrite=overwrite):
        store.remove_tree(paths.folder)
    store.make_folder(EXPERIMENTS)
    store.make_folder(DISCOVERY)
    create_experiment_folder(ExperimentStore(store, paths))
    text, key = _stored_text(config), paths.config(config_hash(config))
    identity = ExperimentIdentity(
        experiment=address.experiment,
        schema=SCHEMA,
        config_file=key.rpartition("/")[2],
        config_sha256=_sha256(text),
        config_hash=config_hash(config),
        coordinators=(claimant,),
        created_at=created_at or datetime.now(UTC).isoformat(timespec="seconds"),
        versions=installed_versions(),
        machine=platform.platform(),
        uid=secrets.token_hex(8),
        sizes=sizes_of(config),
    )
    try:
        store.create(key, text)
        store.create(paths.experiment_json, identity_json(identity))
    except NameTaken as error:
        raise _exists(address) from error
    return identity


def identity_json(identity: ExperimentIdentity) -> bytes:
    """What stands in `experiment.json`."""
    return msgspec.json.format(msgspec.json.encode(identity), indent=1) + b"\n"


def sizes_of(config: SwarmConfig) -> ExperimentSizes:
    """What a list of experiments shows of a configuration."""
    return ExperimentSizes(config.local, config.external, config.completions, config.seed, config.rounds)


def require_free(address: ExperimentAddress, *, overwrite: bool) -> bool:
    """Whether the name is free; False when what has it may be overwritten.

    Raises:
        ExperimentExistsError: there is an experiment of that name, and `overwrite` is not set.
        UserError: the name belongs to something else.
    """
    store = Store(address.root)
    if address.experiment not in store.names(EXPERIMENTS):
        return True
    if not overwrite:
        raise _exists(address)
    if store.read(address.paths.experiment_json, MAX_IDENTITY) is None:
        raise UserError(
            f"{store.root}/{address.paths.folder} holds no experiment.json, so it is not overwritten; "
            "move it away or take another name"
        )
    return False


def _exists(address: ExperimentAddress) -> ExperimentExistsError:
    return ExperimentExistsError(
        f"experiment {address.experiment!r} exists in {address.root}: take another name, or give "
        "--overwrite to delete it and start over"
    )


def read_identity(store: Store, address: ExperimentAddress) -> ExperimentIdentity | None:
    """What `experiment.json` says; None without it.

    Raises:
        UserError: it is not one that this version reads.
    """
    data = store.read(address.paths.experiment_json, MAX_IDENTITY)
    if data is None:
        return None
    try:
        return msgspec.json.decode(data, type=ExperimentIdentity)
    except UNREADABLE as error:
        raise UserError(
            f"{store.root}/{address.paths.experiment_json} is not an experiment's identity that this version reads: "
            f"{error}"
        ) from error


def experiment_uid(store: Store, address: ExperimentAddress) -> str:
    """What no other experiment has, not even one of this name that was here before.

    Raises:
        ExperimentNotFoundError: the experiment does not exist.
        UserError: its `experiment.json` is not one that this version reads.
    """
    identity = read_identity(store, address)
    if identity is None:
        raise ExperimentNotFoundError(f"no experiment {address.experiment!r} in {address.root}")
    return identity.uid or identity.config_sha256[:16]


def read_config(store: Store, address: ExperimentAddress, in_force: str = "") -> SwarmConfig:
    """A configuration stored with the experiment, checked against its hash.

    Args:
        store: the shared folder.
        address: the experiment.
        in_force: the hash that the newest state record names; empty for the configuration it was made with.

    Raises:
        ExperimentNotFoundError: the experiment does not exist.
        ConfigError: the file is missing, altered, or not a configuration.
    """
    identity = read_identity(store, address)
    if identity is None:
        raise ExperimentNotFoundError(f"no experiment {address.experiment!r} in {address.root}")
    named = in_force or identity.config_hash
    key = address.paths.config(named)
    config = parse_stored(read_config_file(store, address, identity, named), key)
    if config_hash(config) != named:
        raise ConfigError(f"{store.root}/{key} does not have the hash that stands in its name")
    return config


def read_config_file(
    store: Store, address: ExperimentAddress, identity: ExperimentIdentity, named: str
) -> bytes:
    """The bytes of a stored configuration; of the first one, whose hash the identity has, as they were written.

    Args:
        store: the shared folder.
        address: the experiment.
        identity: what its `experiment.json` says.
        named: the hash in the file's name.

    Raises:
        ConfigError: the file is missing or altered.
    """
    key = address.paths.config(named)
    data = store.read(key, MAX_CONFIG)
    altered = named == identity.config_hash and data and _sha256(data) != identity.config_sha256
    if data is None or altered:
        raise ConfigError(
            f"{store.root}/{key} is missing or was altered; restore it or start a new experiment"
        )
    return data


def store_config(store: Store, address: ExperimentAddress, config: SwarmConfig) -> str:
    """Keep a changed configuration beside the first one; answers its hash, which the state log will name.

    Raises:
        StoreError: the folder cannot be written.
    """
    changed = config_hash(config)
    try:
        store.create(address.paths.config(changed), _stored_text(config))
    except NameTaken:
        read_config(store, address, changed)
    return changed


def _stored_text(config: SwarmConfig) -> bytes:
    """The configuration as it is kept: what holds for one start of a worker alone is left out."""
    return render_yaml(config.model_copy(update={"resume": "all"})).encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def local_folder(address: ExperimentAddress) -> Path:
    """This machine's own folder for an experiment: checkpoints, spools and logs.

    It is named after the experiment and its sentinel, so that one that was overwritten starts with nothing, and one
    whose root was moved or mounted elsewhere finds its own again.

    Raises:
        StoreUnavailable: the experiment's folder cannot be read.
    """
    sentinel = Store(address.root).read(address.paths.experiment_json, MAX_IDENTITY)
    if sentinel is None:
        raise StoreUnavailable(f"{address.root}/{address.paths.experiment_json} is not there; is it mounted?")
    return state_folder() / f"{address.experiment}-{_sha256(sentinel)[:12]}"
