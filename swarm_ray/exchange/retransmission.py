"""Values that could not be fetched: our own that peers may request, and those that we request from peers."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from drive_store import (
    ExperimentStore,
    FolderMissing,
    StoreError,
    payload_sha256,
    publish_value,
)
from swarm_ray.exchange.validation import MAX_WANTS
from swarm_ray.records.rollouts import Receipt, Wanted
from swarm_ray.records.state import FileRef, Moment

FULL_ROUNDS = 8
"""For so many rounds after a request our files carry their rollouts themselves; doubled each time."""
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
            by then; its owner is notified once, and publishes whole files.
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


MOST_KEPT = 64 << 20
"""Bytes of all nodes' values."""


@dataclass(frozen=True)
class SentValue:
    """One value."""

    moment: Moment
    value: bytes
    lives: tuple[str, ...]
    """Incarnations of its node under which the receipt was published, or may have been."""


class SentValues:
    """Values of a trainer's nodes, by node and hash.

    Args:
        experiment: the experiment in the shared folder.
        rounds: a value is of use to others for so many rounds after its own; with 0 none is kept.
    """

    def __init__(self, experiment: ExperimentStore, rounds: int) -> None:
        self._experiment, self._rounds = experiment, rounds
        self._kept: dict[tuple[str, str], SentValue] = {}

    def keep(self, node: str, own: SentValue) -> None:
        """Have a value ready, in the place of the oldest where they are too much."""
        if not self._rounds:
            return
        self._kept[node, payload_sha256(own.value)] = own
        while sum(len(kept.value) for kept in self._kept.values()) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]

    def expire(self, number: int) -> None:
        """Drop what is not requested any more in round `number`; a request takes a round to come."""
        self._kept = {
            key: own for key, own in self._kept.items() if own.moment.round + self._rounds + 1 >= number
        }

    def share(self, asked: Collection[tuple[str, str]], number: int) -> str:
        """Put values into the folder that were asked for in round `number`, each beside its receipt.

        The nodes' last ones of this round go, too: they were receipts, and would be asked for next. What is there
        already stays as it is.

        Returns:
            Why one could not be put there, in words; empty when nothing was in the way.
        """
        last = {key[0]: key for key, own in self._kept.items() if own.moment.round == number}
        problem = ""
        for key in {key: None for key in (*asked, *last.values()) if key in self._kept}:
            try:
                self._share(key[0], self._kept[key])
            except StoreError as error:
                problem = f"a value that was asked for could not be put into the folder: {error}"
            else:
                del self._kept[key]
        return problem

    def _share(self, node: str, own: SentValue) -> None:
        """Write a value for each life of its node that may have written the receipt; not all of them must have."""
        written, missing = False, None
        for incarnation in own.lives:
            try:
                publish_value(
                    self._experiment,
                    node=node,
                    incarnation=incarnation,
                    round=own.moment.round,
                    stage=own.moment.stage,
                    value=own.value,
                )
                written = True
            except FolderMissing as error:
                missing = error
        if missing is not None and not written:
            raise missing
