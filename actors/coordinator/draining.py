"""The end of an experiment: who still has to say its last word, and which files never came. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from actors.coordinator.roster import Peer
from actors.coordinator.submissions import Look
from drive_store.paths import BUCKET

OLDER_LIVES = 8
"""So many incarnations of a node are looked at for files that it still waits to hear of."""
NEWEST_LIVES = 2
"""So many for files of the open round: a new incarnation, and the one whose upload may still be on its way."""
AT_A_BUCKETS_START = 16
"""In so many rounds after a bucket's first, files of the bucket before are looked for too."""


def files_owed(peer: Peer, is_answered: Callable[[str, int], bool]) -> tuple[int, ...]:
    """Rounds of files that a node published and that no record has answered yet."""
    node = peer.registration.node
    return tuple(number for number in peer.unanswered if not is_answered(node, number))


def looks_for_round(peer: Peer, number: int) -> list[Look]:
    """Where files of round `number`, and of those just before, may lie."""
    near = {
        number // BUCKET: number,
        max(0, number - AT_A_BUCKETS_START) // BUCKET: number - AT_A_BUCKETS_START,
    }
    return [
        Look(peer.registration.node, life, max(0, round_))
        for life in peer.incarnations[-NEWEST_LIVES:]
        for round_ in near.values()
    ]


def looks_for_owed(peer: Peer, owed: Iterable[int]) -> list[Look]:
    """Where files of these rounds may lie: one listing a bucket and incarnation."""
    asked = frozenset(owed)
    buckets = {number // BUCKET: number for number in sorted(asked)}
    return [
        Look(peer.registration.node, life, number, asked)
        for life in peer.incarnations[-OLDER_LIVES:]
        for number in buckets.values()
    ]


def awaited_at_the_end(
    peers: Mapping[str, Peer], active: Iterable[str], owed: Mapping[str, tuple[int, ...]]
) -> list[str]:
    """Nodes whose last word, or a file of theirs, is still to come; the dead and the failed are not waited for."""
    owing = {node for node, rounds in owed.items() if rounds and peers[node].problem is None}
    return sorted({*active, *owing})
