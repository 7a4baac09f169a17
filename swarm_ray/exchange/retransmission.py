"""Values that could not be fetched: our own that peers may request, and what we request from peers."""

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
from swarm_ray.records.rollouts import Receipt
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


class Requesters:
    """Peers that could not fetch our values: for their sake our files carry their rollouts for a while."""

    def __init__(self) -> None:
        self._full: dict[str, tuple[int, int]] = {}
        """Peer to the rounds for which files are whole for it, and the first round in which they need not be."""

    def note(self, peer: str, number: int) -> None:
        """A peer asks, in round `number`, for a value of ours; while our files are whole that changes nothing."""
        rounds, until = self._full.get(peer, (FULL_ROUNDS // 2, 0))
        if number >= until:
            rounds = min(2 * rounds, MOST_FULL_ROUNDS)
            self._full[peer] = rounds, number + 1 + rounds

    def carry_all(self, number: int, members: Iterable[str]) -> bool:
        """Whether a file of round `number` is to hold its rollouts, since one of `members` could not get them else."""
        return any(peer in self._full and number < self._full[peer][1] for peer in members)


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
        if self._rounds:
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
        missing = []
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
            except FolderMissing as error:
                missing.append(error)
        if len(missing) == len(own.lives):
            raise missing[-1]
