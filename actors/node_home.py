"""A node's folder on the machine's own disk: its lock, the incarnations it had here, and its spool."""

from __future__ import annotations

from pathlib import Path

from drive_store import new_incarnation
from swarm_ray.local_disk import Lock, read_words


class NodeHome:
    """Belongs to the one process of this machine that trains the node.

    The lock proves that every incarnation named here is gone: it is held for the whole life of a process.

    Args:
        state: this machine's folder for the experiment.
        node: the node's id.

    Raises:
        NodeTakenError: another process of this machine trains the node.
    """

    def __init__(self, state: Path, node: str) -> None:
        self.node = node
        folder = state / "nodes" / node
        self.spool = folder / "spool"
        """Where its files wait for an answer."""
        self._lock = Lock(folder / "lock", f"node {node}")
        named = folder / "incarnations"
        self.former: tuple[str, ...] = read_words(named)
        """Incarnations that the node had on this machine, oldest first."""
        self.incarnation = new_incarnation()
        with named.open("a") as file:
            file.write(f"{self.incarnation}\n")

    def release(self) -> None:
        """Let another process have the node; harmless when repeated."""
        self._lock.release()
