"""What rollouts need of a direct link to peers."""

from __future__ import annotations

from typing import Protocol


class ValueLink(Protocol):
    """A direct link to peers (`swarm_ray.exchange.hivemind.link.DhtLink`). Every call ends within its deadline."""

    @property
    def alive(self) -> bool:
        """Whether it works at all."""
        ...

    def put(self, key: str, value: bytes, within_s: float) -> int:
        """Store a value; answers in how many parts."""
        ...

    def get(self, key: str, parts: int, size: int, sha256: str, within_s: float) -> bytes:
        """Fetch a value, whole and with this hash."""
        ...

    def peers(self) -> set[str]:
        """Ids of the peers that it is connected to."""
        ...

    def close(self) -> None:
        """End it; harmless when repeated."""
        ...
