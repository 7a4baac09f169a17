"""One process of this machine has an identity at a time; on other machines its node's signs of life tell."""

from __future__ import annotations

from pathlib import Path

from swarm_ray.identity.files import Identity
from swarm_ray.machine.local_disk import Lock, read_words, state_folder


class HeldIdentity:
    """Says, for as long as it is held, that a process of this machine is the node with this identity.

    Args:
        identity: whose.
        incarnation: the process life that has it.

    Raises:
        NodeTakenError: another living process of this machine has it.
    """

    def __init__(self, identity: Identity, incarnation: str) -> None:
        self._lock = _lock(identity)
        with (_folder(identity) / "incarnations").open("a") as file:
            file.write(f"{incarnation}\n")

    def release(self) -> None:
        """Let another process have it; harmless when repeated."""
        self._lock.release()


def gone_incarnations(identity: Identity) -> tuple[str, ...]:
    """Incarnations that had the identity on this machine; all of them are gone, since nobody holds it.

    Raises:
        NodeTakenError: a living process of this machine has it.
    """
    with _lock(identity):
        return read_words(_folder(identity) / "incarnations")


def _lock(identity: Identity) -> Lock:
    return Lock(_folder(identity) / "lock", f"the identity {identity.peer_id} ({identity.file})")


def _folder(identity: Identity) -> Path:
    """Named after the peer id, so that a copy of the file under another name is the same identity."""
    return state_folder() / "peers" / identity.peer_id
