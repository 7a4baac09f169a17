"""An identity is one file: how it is made, read and taken over. A key is never overwritten."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from swarm_ray.errors import IdentityError
from swarm_ray.identity.folder import identity_file, require_private
from swarm_ray.identity.keys import MAX_KEY, KeyFacts, NotAKey, animal_name, new_key, read_key
from swarm_ray.machine.local_disk import Lock, read_words, state_folder
from swarm_ray.records.nodes import NodeKey

_FROM_RL_SWARM = "give the swarm.pem that RL Swarm made, or another file that hivemind takes as identity_path"
_MEND = "put a copy of the right one there; without the file a new key is made, with another peer id"


@dataclass(frozen=True, kw_only=True)
class Identity(KeyFacts):
    """Who a node is: what follows from the key in its file. The private key itself stays there."""

    file: Path
    warning: str = ""
    """What should be corrected although the key can be used; empty if nothing."""

    @property
    def animal(self) -> str:
        """The name by which RL Swarm's users know the node; empty without the extra `genrl`."""
        return animal_name(self.peer_id)

    @property
    def key(self) -> NodeKey:
        """What the node's registration says."""
        return NodeKey(self.peer_id, self.public_key)


def new_identity(path: Path, *, shared: bool = False) -> Identity:
    """Make a new identity, with an Ed25519 key.

    Args:
        path: the file, which is not there yet; its folder is made.
        shared: it may lie in a folder that experiments are shared in.

    Raises:
        IdentityError: there is one already, the place is a shared one, or it cannot be written.
    """
    return _store(new_key(), path, shared=shared)


def import_identity(source: Path, path: Path, *, shared: bool = False) -> Identity:
    """Take over an identity that hivemind or RL Swarm made: its file is copied as it is.

    Args:
        source: RL Swarm's `swarm.pem`, or another file that hivemind takes as `identity_path`.
        path: see `new_identity`.
        shared: see `new_identity`.

    Raises:
        IdentityError: the source does not hold a key, or see `new_identity`.
    """
    data, _ = _read(source, _FROM_RL_SWARM, _FROM_RL_SWARM)
    return _store(data, path, shared=shared)


def load_identity(path: Path) -> Identity:
    """Read an identity.

    Raises:
        IdentityError: the file is missing, cannot be read, or does not hold a key.
    """
    _, identity = _read(path, f"`swarm-ray identity new {path.stem}` makes one", _MEND)
    return identity


def load_or_new(path: Path, *, shared: bool = False) -> Identity:
    """Read an identity, or make it if the file is missing; of several that do so at once, one makes it.

    Args:
        path: its file.
        shared: see `new_identity`.

    Raises:
        IdentityError: it cannot be read, or see `new_identity`.
    """
    with _one_at_a_time():
        try:
            there = path.exists()
        except OSError:  # the read will say why
            there = True
        return load_identity(path) if there else new_identity(path, shared=shared)


def identity_for(name: str, folder: Path | None = None) -> Identity:
    """The identity of a named node; it is made on first use.

    Args:
        name: the node's id.
        folder: where keys lie; None for `identities_folder`.

    Raises:
        IdentityError: see `load_or_new`.
    """
    return load_or_new(identity_file(name, folder))


def _one_at_a_time() -> Lock:
    """Nobody on this machine meets a key that another one is just writing."""
    folder = state_folder()
    try:
        return Lock(folder / "identities.lock", "the identities", wait=True)
    except OSError as error:
        raise IdentityError(
            f"this machine's own folder {folder} cannot be written: {error.strerror or error}"
        ) from error


def _read(path: Path, missing: str, damaged: str) -> tuple[bytes, Identity]:
    """The bytes of a key file and its identity; `missing` and `damaged` are advice for a file that is."""
    try:
        with path.open("rb") as file:
            data, mode = file.read(MAX_KEY + 1), stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    except FileNotFoundError as error:
        raise IdentityError(f"the key {path} does not exist; {missing}") from error
    except OSError as error:
        raise IdentityError(f"the key {path} cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_KEY:
        raise IdentityError(f"{path} is too large for a key: it has more than {MAX_KEY} bytes")
    try:
        facts = read_key(data)
    except NotAKey as error:
        raise IdentityError(f"{path} {error}; {damaged}") from error
    exposed = (
        f"other users of this machine may read {path} (mode {mode:o}): try chmod 600, or keep it elsewhere"
    )
    return data, Identity(**vars(facts), file=path, warning=exposed if mode & 0o077 else "")


def _store(data: bytes, path: Path, *, shared: bool) -> Identity:
    """Write a key to a new file, and read it back."""
    if not shared:
        require_private(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise IdentityError(f"the folder {path.parent} cannot be made: {error.strerror or error}") from error
    try:
        _create(data, path)
    except FileExistsError as error:
        raise IdentityError(
            f"the key {path} exists, and a key is never overwritten: take another name, or move the file away"
        ) from error
    except OSError as error:
        raise IdentityError(f"the key {path} cannot be written: {error.strerror or error}") from error
    return load_identity(path)


def _create(data: bytes, path: Path) -> None:
    """Create it with all its bytes; one that did not get them is removed again.

    The name is created at once and not by a link from another one: of those a mounted Drive knows nothing, and what is
    removed there lies in the trash.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        try:
            with suppress(OSError):  # a mount may keep no permissions; `Identity.warning` says so
                os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            path.unlink(missing_ok=True)
            raise


class IdentityLock(Lock):
    """Says, for as long as it is held, that a process of this machine is the node with this identity.

    Args:
        identity: whose.
        incarnation: the process life that has it; None only looks whether another process has it.

    Raises:
        NodeTakenError: another living process of this machine has it.
    """

    def __init__(self, identity: Identity, incarnation: str | None = None) -> None:
        super().__init__(_folder(identity) / "lock", f"the identity {identity.peer_id} ({identity.file})")
        if incarnation is not None:
            with (_folder(identity) / "incarnations").open("a") as file:
                file.write(f"{incarnation}\n")


def former_incarnations(identity: Identity) -> tuple[str, ...]:
    """Incarnations that had the identity on this machine; all of them are gone, since its lock is free.

    Raises:
        NodeTakenError: a living process of this machine has it.
    """
    with IdentityLock(identity):
        return read_words(_folder(identity) / "incarnations")


def _folder(identity: Identity) -> Path:
    """Named after the peer id, so that a copy of the file under another name is the same identity."""
    return state_folder() / "peers" / identity.peer_id
