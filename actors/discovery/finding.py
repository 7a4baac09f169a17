"""How a worker finds the nodes of others, and keeps the folder in which all are found small."""

from __future__ import annotations

import math
import time
from contextlib import suppress

from drive_store import StoreError
from swarm_ray.config.schema import PaceConfig
from swarm_ray.discovery.peer_book import PeerBook, PeerStats
from swarm_ray.records.nodes import PeerRecord, Role

TIDIED_EVERY = 10
"""So many times `pace.dead_after_s` lie between two looks for records that nobody will rewrite."""
TIDIED_EVERY_S = 600.0
"""And never less than this."""


class Finding:
    """What `Discovery` answers about the nodes that are to be found.

    Args:
        book: what this process knows of them.
        pace: when a node is dead.
    """

    def __init__(self, book: PeerBook, pace: PaceConfig) -> None:
        self._book = book
        self._every_s = max(TIDIED_EVERY_S, TIDIED_EVERY * pace.dead_after_s)
        self._tidied = -math.inf

    def discover_peers(
        self,
        exclude_self: bool = True,
        max_peers: int | None = None,
        role_filter: Role | None = None,
        experiment: str | None = None,
    ) -> list[PeerRecord]:
        """Nodes that are to be found, this worker's own left out unless asked for; see `PeerBook.discover_peers`."""
        return self._book.discover_peers(exclude_self, max_peers, role_filter, experiment)

    def get_peer_info(self, node_or_peer_id: str) -> PeerRecord | None:
        """See `PeerBook.get_peer_info`."""
        return self._book.get_peer_info(node_or_peer_id)

    def get_stats(self) -> PeerStats:
        """See `PeerBook.get_stats`."""
        return self._book.get_stats()

    def cleanup_stale_entries(self, older_than_s: float) -> list[str]:
        """See `PeerBook.cleanup_stale_entries`."""
        return self._book.cleanup_stale_entries(older_than_s)

    def _tidy(self) -> None:
        """Now and then remove records that nobody will rewrite."""
        now = time.monotonic()
        if now - self._tidied >= self._every_s:
            self._tidied = now
            with suppress(StoreError):  # beats, too, do not reach such a folder, and that is said
                self._book.cleanup_stale_entries(self._every_s)
