"""Real direct links on this machine, and ways in which they fail."""

from __future__ import annotations

from swarm_ray.config.schema import DirectConfig
from swarm_ray.errors import LinkError
from swarm_ray.exchange.hivemind.link import DhtLink

HERE = DirectConfig(listen="127.0.0.1")


def started(*initial: str) -> DhtLink:
    """A link that listens on this machine alone."""
    link = DhtLink(None, HERE, initial)
    link.start()
    return link


class Deaf:
    """A link whose node can be heard, and fetches nothing: behind a firewall, say.

    Args:
        link: the real one.
    """

    def __init__(self, link: DhtLink) -> None:
        self._link = link
        self.deaf = True

    @property
    def alive(self) -> bool:
        return self._link.alive

    def put(self, key: str, value: bytes, within_s: float) -> int:
        return self._link.put(key, value, within_s)

    def get(self, key: str, parts: int, size: int, sha256: str, within_s: float) -> bytes:
        if self.deaf:
            raise LinkError("nobody answers")
        return self._link.get(key, parts, size, sha256, within_s)

    def peers(self) -> set[str]:
        return self._link.peers()

    def close(self) -> None:
        self._link.close()
