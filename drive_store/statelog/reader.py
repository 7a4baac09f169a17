"""Following the state log: which records a reader obeys, in which order, at what cost.

The chain is that of the highest epoch, and of the claimant of smallest rank in it. A reader stands on the
last record it took. While nothing changes a poll costs one look at the exact name of the successor; a
listing, which may show a higher epoch, comes only on every `list_every`-th look that found nothing. From a
new head the reader walks back, hash by hash, to a record that it knows or has passed; if a link is missing
the head has to wait.
"""

from __future__ import annotations

from collections.abc import Iterator

from drive_store.envelope import Corrupt, Rejected
from drive_store.experiment_store import ExperimentStore
from drive_store.names import StateName
from drive_store.paths import bucket_start
from drive_store.statelog.log import (
    StateEntry,
    StateRef,
    claimant_rank,
    list_bucket,
    preference,
    preferred,
    read_record,
)

_NEWEST = 2  # buckets: the newest record is in one of so many last ones
_FORK_DEPTH = 100  # records: how far behind its own place a reader looks for a successor's fork


class StateLogReader:
    """Reads the records of the chain that is obeyed, each once; (epoch, sequence) never goes back.

    Args:
        experiment: where the log is.
        after: the last record that was processed already. None reads the log from its beginning; to start from now,
            give the `ref` of what `newest` answers.
        list_every: a listing follows this many looks that found nothing. Until a first record is seen there is no
            name to look for, and every poll lists.
    """

    def __init__(
        self,
        experiment: ExperimentStore,
        *,
        after: StateRef | None = None,
        list_every: int = 40,
    ) -> None:
        self._experiment = experiment
        self._list_every = list_every
        self.last = after
        """The last record of the obeyed chain."""
        self._mark = (-1, -1) if after is None else after.position  # the highest position ever returned
        self._misses = 0
        self._never_listed = True
        self._ready: list[StateEntry] = []  # read, and not answered yet: a call that fails loses nothing
        self.problems: list[str] = []
        """Records that no reader can use, and records that were passed over; each is named once."""

    def poll(self) -> list[StateEntry]:
        """Answer the records that are new since the last call, in order.

        Raises:
            StoreError: the store itself cannot be read; nothing is lost, call again.
        """
        walk = _Walk(self._experiment, self.problems)
        self._misses += 1
        while self.last is not None and (entry := walk.successor(self.last)) is not None:
            self._advance([entry])
            self._misses = 0
        if self.last is None or self._never_listed or self._misses >= self._list_every:
            self._advance(walk.best(walk.heads(self.last), self.last))
            self._never_listed = False
            self._misses = 0
        answer, self._ready = self._ready, []
        return answer

    def _advance(self, chain: list[StateEntry]) -> None:
        """Move to the end of a chain; keep what lies beyond the highest position ever taken."""
        if not chain:
            return
        passed = [entry for entry in chain if entry.ref.position <= self._mark]
        if passed:
            first, last = passed[0].ref, passed[-1].ref
            self.problems.append(
                f"records {first.sequence} to {last.sequence} of {last.claimant} (epoch {last.epoch}) came "
                f"after this reader had passed record {self._mark[1]} (epoch {self._mark[0]}); "
                "they were not processed"
            )
        self._ready += chain[len(passed) :]
        self._mark = max(self._mark, chain[-1].ref.position)
        self.last = chain[-1].ref


class StateLogTail:
    """The newest records of the chain that is obeyed; a look reads those that are new.

    Args:
        experiment: where the log is.
        most: how many records are kept, and read at most, however long the log is.
    """

    def __init__(self, experiment: ExperimentStore, most: int) -> None:
        self._experiment, self._most = experiment, most
        self._known: list[StateEntry] = []

    def look(self) -> list[StateEntry]:
        """The newest records, oldest first; fewer than `most` where the log begins, or a link is not to be seen.

        Raises:
            StoreError: the store cannot be read.
        """
        walk, found = _Walk(self._experiment, []), list[StateEntry]()
        places = {entry.ref: place for place, entry in enumerate(self._known)}
        entry = newest(self._experiment)
        while entry is not None and entry.ref not in places and len(found) < self._most:
            found.append(entry)
            entry = walk.predecessor(entry)
        kept = self._known[: places[entry.ref] + 1] if entry is not None and entry.ref in places else []
        self._known = [*kept, *reversed(found)][-self._most :] or self._known
        return list(self._known)


class _Walk:
    """The reads and listings of one poll, each made at most once."""

    def __init__(self, experiment: ExperimentStore, problems: list[str]) -> None:
        self._experiment = experiment
        self._problems = problems
        self._read: dict[StateName, StateEntry | None] = {}
        self._listed: dict[str, list[StateName]] = {}
        self._broken: set[StateRef] = set()  # behind these a link is missing: a gap is walked up to once

    def successor(self, tip: StateRef) -> StateEntry | None:
        """Read the record after a tip, of the same claimant and epoch, by its exact name."""
        name = StateName(tip.epoch, tip.sequence + 1, tip.claimant)
        entry = self._entry(name)
        if entry is not None and entry.header.previous != tip.sha256:
            self._report(name, "it continues another record than the one before it")
            return None
        return entry

    def heads(self, tip: StateRef | None) -> list[StateName]:
        """List the records beyond a tip: those to obey first come first."""
        if tip is None:
            folders = bucket_folders(self._experiment)[-_NEWEST:]
        else:
            around = (tip.sequence - _FORK_DEPTH, tip.sequence, tip.sequence + 1)
            folders = sorted({self._experiment.paths.state_bucket(max(0, number)) for number in around})
        return [name for name in self.records_in(folders) if _beyond(name, tip)]

    def best(self, heads: list[StateName], tip: StateRef | None) -> list[StateEntry]:
        """Walk the chain up to the first of some heads that is joined to the tip; empty where none is."""
        return next((chain for head in heads if (chain := self.back(head, tip)) is not None), [])

    def back(self, head: StateName, tip: StateRef | None) -> list[StateEntry] | None:
        """Walk from a head back to the tip, to a record the tip has passed, or to the log's first record.

        Returns:
            The records after that one, in order; None where a link is missing or damaged.
        """
        chain: list[StateEntry] = []
        entry = self._entry(head)
        while entry is not None and entry.ref not in self._broken:
            chain.append(entry)
            previous = entry.header.previous
            if not previous or (tip is not None and previous == tip.sha256):
                return chain[::-1]
            entry = self.predecessor(entry)
            if entry is None or tip is None or entry.ref.position > tip.position:
                continue
            if entry.ref.position < tip.position or entry.ref.claimant != tip.claimant:
                if _better_claim(entry.ref, tip):
                    continue
                return chain[::-1]
            self._report(head, "it continues another content of a record that was processed")
            return None
        self._broken.update(link.ref for link in chain)
        return None

    def predecessor(self, entry: StateEntry) -> StateEntry | None:
        """Read the record before another: mostly of the same claimant, by its name; else by a listing and its hash."""
        sequence = entry.ref.sequence - 1
        if sequence < 0 or not entry.header.previous:
            return None
        found = map(self._entry, self._before(entry.ref, sequence))
        return next(
            (one for one in found if one is not None and one.ref.sha256 == entry.header.previous), None
        )

    def _before(self, ref: StateRef, sequence: int) -> Iterator[StateName]:
        """Names that may be those of a predecessor, the likeliest first; lists no bucket before it must."""
        own = StateName(ref.epoch, sequence, ref.claimant)
        yield own
        listed = self._names(self._experiment.paths.state_bucket(sequence))
        yield from (n for n in listed if n.sequence == sequence and n.epoch <= ref.epoch and n != own)

    def records_in(self, folders: list[str]) -> list[StateName]:
        """List buckets: the records to obey first come first."""
        return sorted((name for folder in folders for name in self._names(folder)), key=preference)

    def _names(self, folder: str) -> list[StateName]:
        if folder not in self._listed:
            self._listed[folder] = list_bucket(self._experiment.store, folder)
        return self._listed[folder]

    def _entry(self, name: StateName) -> StateEntry | None:
        if name not in self._read:
            record = read_record(self._experiment, name)
            if isinstance(record, Corrupt | Rejected):
                self._report(name, record.reason)
            self._read[name] = record if isinstance(record, StateEntry) else None
        return self._read[name]

    def _report(self, name: StateName, reason: str) -> None:
        twin = f" (twin {name.twin})" if name.twin else ""
        problem = (
            f"record {name.sequence} of {name.claimant} (epoch {name.epoch}){twin} cannot be used: {reason}"
        )
        if problem not in self._problems:
            self._problems.append(problem)


def _beyond(name: StateName, tip: StateRef | None) -> bool:
    """Say whether a record would move a reader on: a better claim, or a later record of the same claim."""
    if tip is None or (name.epoch, name.claimant) == (tip.epoch, tip.claimant):
        return tip is None or name.sequence > tip.sequence
    return _better_claim(name, tip)


def _better_claim(one: StateName | StateRef, other: StateRef) -> bool:
    """Say whether one record's claim goes before another's: by epoch, then by the claimant's rank."""
    claims = [(-ref.epoch, claimant_rank(ref.claimant)) for ref in (one, other)]
    return claims[0] < claims[1]


def bucket_folders(experiment: ExperimentStore) -> list[str]:
    """List the folders of the log's buckets, oldest first, in one listing."""
    firsts = map(bucket_start, experiment.store.names(experiment.paths.state_folder))
    return [experiment.paths.state_bucket(first) for first in firsts if first is not None]


def newest(experiment: ExperimentStore) -> StateEntry | None:
    """Read the newest valid record, in at most three listings; None while no valid record is seen.

    The chain behind it is not walked: the highest epoch decides, then the rank of its claimant, then the
    sequence.
    """
    for folder in reversed(bucket_folders(experiment)[-_NEWEST:]):
        for name in preferred(experiment.store.names(folder)):
            record = read_record(experiment, name)
            if isinstance(record, StateEntry):
                return record
    return None


def history(experiment: ExperimentStore, problems: list[str] | None = None) -> list[StateEntry]:
    """Read all records of the chain that is obeyed, from the first one on; each once.

    Where a link is missing, the chain of the best head that is joined to the first record: one that lasts up to the
    gap. A reader that acts on records waits in its place.

    Args:
        experiment: where the log is.
        problems: what could not be read is told here.
    """
    walk = _Walk(experiment, [] if problems is None else problems)
    older = bucket_folders(experiment)[:-_NEWEST]
    return walk.best(walk.heads(None), None) or walk.best(walk.records_in(older), None)
