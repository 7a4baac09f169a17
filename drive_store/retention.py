"""Retention: the owner of a folder removes round files that nobody will read again."""

from __future__ import annotations

from collections.abc import Collection

from drive_store.experiment_store import ExperimentStore
from drive_store.names import round_of_own_file
from drive_store.paths import BUCKET, bucket_start

EMPTY_ROUNDS = 16
"""Rounds until a bucket that was seen empty is looked at again: those of former lives stay so."""


class Retention:
    """Removes an incarnation's old round files, for whoever owns its folder.

    It remembers how far it has come, so that a call costs as many removals as there are files to go, and a listing
    only when what the last one showed is used up. Nothing is kept on disk: a new one looks through the buckets again.

    Args:
        experiment: where the files are.
        node: their writer.
        incarnation: its process life.
    """

    def __init__(self, experiment: ExperimentStore, node: str, incarnation: str) -> None:
        self._store, self._paths = experiment.store, experiment.paths
        self._peer = (node, incarnation)
        self._bucket: int | None = None  # the one that is being emptied
        self._listed: dict[str, int] = {}  # what its last listing showed: key to round
        self._empty_until = 0

    def remove_below(self, below: int, keep: Collection[str] = ()) -> int:
        """Remove the files of rounds before one.

        Args:
            below: the first round whose files stay; none is below 0.
            keep: keys to leave alone, such as those of files that no record has answered. Once all rounds of a bucket
                are to go it is not looked at again, and what was kept in it stays.

        Returns:
            How many files were removed.

        Raises:
            StoreError: the store did not answer; the next call continues from there.
        """
        if below <= 0:
            return 0
        if self._bucket is None:
            self._bucket = self._oldest(below)
        removed = 0
        while self._bucket * BUCKET < below:
            whole = (self._bucket + 1) * BUCKET <= below
            removed += self._sweep(self._bucket, below, keep, fresh=whole)
            if not whole:
                break
            self._bucket += 1
            self._listed, self._empty_until = {}, 0
        return removed

    def _sweep(self, number: int, below: int, keep: Collection[str], *, fresh: bool) -> int:
        """Remove what is old in one bucket; list it if told to, or if nothing old is known of."""
        old = _old(self._listed, below, keep)
        if fresh or (not old and (self._listed or below >= self._empty_until)):
            self._listed = self._list(number)
            self._empty_until = 0 if self._listed else below + EMPTY_ROUNDS
            old = _old(self._listed, below, keep)
        for key in old:
            self._store.remove(key)
            del self._listed[key]
        return len(old)

    def _oldest(self, below: int) -> int:
        """The number of the oldest bucket that there is."""
        firsts = [
            first
            for text in self._store.names(self._paths.rollouts_folder(*self._peer))
            if (first := bucket_start(text)) is not None
        ]
        return min([*firsts, below]) // BUCKET

    def _list(self, number: int) -> dict[str, int]:
        folder = self._paths.rollouts_bucket(*self._peer, number * BUCKET)
        return {
            f"{folder}/{text}": own
            for text in self._store.names(folder)
            if (own := round_of_own_file(text)) is not None
        }


def _old(listed: dict[str, int], below: int, keep: Collection[str]) -> list[str]:
    return [key for key, number in listed.items() if number < below and key not in keep]
