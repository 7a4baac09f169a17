"""Values that somebody could not fetch: whom we asked for which, and for whom our own files carry all again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from swarm_ray.exchange.validation import MAX_WANTS
from swarm_ray.records.rollouts import Receipt, Wanted
from swarm_ray.records.state import FileRef, Moment

FULL_ROUNDS = 8
"""So many rounds do our files carry their rollouts themselves after somebody asked; doubled each time."""
MOST_FULL_ROUNDS = 256


@dataclass(frozen=True)
class ValueRequest:
    """A value that a peer was asked for."""

    ref: FileRef
    moment: Moment
    receipt: Receipt

    @property
    def key(self) -> tuple[str, str]:
        """Owner and hash: another node may name the same hash, and must not take the value's place by it."""
        return self.ref.node, self.receipt.sha256


class PendingRequests:
    """What we asked others for, and how long we go on asking.

    Args:
        rounds: a value is asked for, and may be learned from, for so many rounds after its own. With 0 it is of no use
            by then; its owner is told of it once, and publishes whole files.
    """

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._pending: dict[tuple[str, str], ValueRequest] = {}

    def add(self, pending: ValueRequest) -> None:
        """Ask for a value from the next file on."""
        self._pending[pending.key] = pending

    def drop(self, pending: ValueRequest) -> None:
        """Ask no longer: it has come, or never will."""
        self._pending.pop(pending.key, None)

    def expire(self, number: int) -> None:
        """Give up what is of no use in round `number` any more."""
        for old in [p for p in self._pending.values() if p.moment.round + self._rounds < number]:
            self.drop(old)

    def open(self) -> list[ValueRequest]:
        """What is still asked for, the oldest first."""
        return sorted(self._pending.values(), key=lambda p: (p.moment, p.ref.node))

    def wants(self) -> tuple[Wanted, ...]:
        """What the next file says of it."""
        return tuple(Wanted(*key) for key in self._pending)[-MAX_WANTS:]


class Requesters:
    """Peers that could not fetch our values: for their sake our files carry their rollouts for a while."""

    def __init__(self) -> None:
        self._until: dict[str, int] = {}
        self._rounds: dict[str, int] = {}

    def note(self, peer: str, number: int) -> None:
        """A peer asks, in round `number`, for a value of ours; while our files are whole that changes nothing."""
        if number < self._until.get(peer, 0):
            return
        self._rounds[peer] = min(2 * self._rounds.get(peer, FULL_ROUNDS // 2), MOST_FULL_ROUNDS)
        self._until[peer] = number + 1 + self._rounds[peer]

    def carry_all(self, number: int, members: Iterable[str]) -> bool:
        """Whether a file of round `number` is to hold its rollouts, since one of `members` could not get them else."""
        return any(number < self._until.get(peer, 0) for peer in members)
