"""A node's folder on the machine's own disk: its lock, the incarnations it had here, its key, and its spool."""

from __future__ import annotations

from pathlib import Path

from drive_store import new_incarnation
from swarm_ray.identity import Identity, IdentityLock, identity_for, load_or_new
from swarm_ray.machine.local_disk import Lock, read_words


class NodeHome:
    """Belongs to the one process of this machine that trains the node.

    The lock proves that every incarnation named here is gone: it is held for the whole life of a process.

    Args:
        state: this machine's folder for the experiment.
        node: the node's id.
        identities: the folder with the keys of nodes that have a name of their own; None gives the node a key that is
            kept here and is good for this experiment alone.

    Raises:
        NodeTakenError: another process of this machine trains the node, or another one with its identity.
        IdentityError: its key cannot be read or made.
    """

    def __init__(self, state: Path, node: str, identities: Path | None = None) -> None:
        self.node = node
        folder = state / "nodes" / node
        self.spool = folder / "spool"
        """Where its files wait for an answer."""
        self.incarnation = new_incarnation()
        self._lock = Lock(folder / "lock", f"node {node}")
        self._held: IdentityLock | None = None
        try:
            self.identity = self._take_identity(folder, identities)
        except BaseException:
            self._lock.release()
            raise
        named = folder / "incarnations"
        self.former: tuple[str, ...] = read_words(named)
        """Incarnations that the node had on this machine, oldest first."""
        with named.open("a") as file:
            file.write(f"{self.incarnation}\n")

    def release(self) -> None:
        """Let another process have the node; harmless when repeated."""
        if self._held is not None:
            self._held.release()
        self._lock.release()

    def _take_identity(self, folder: Path, identities: Path | None) -> Identity:
        """The node's key; what is kept here is in nobody else's hands while the lock is held."""
        if identities is None:
            # Good for one experiment, it is worth nothing to whoever shares a root that this disk lies in.
            return load_or_new(folder / "identity.pem", shared=True)
        identity = identity_for(self.node, identities)
        self._held = IdentityLock(identity, self.incarnation)
        return identity
