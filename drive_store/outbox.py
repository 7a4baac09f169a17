"""The spool: what a node publishes waits on the machine's own disk until the state log has answered it.

`Spool.hold` is the moment from which a round file cannot be lost with the process. Where a process may be killed,
and what the next one finds:

- Before `hold` returns: nothing, or a part that is cleared away. The caller does not know the file either.
- Between `hold` and `send`: an entry without names. It is sent at once, by the new incarnation.
- During `send`: an entry whose last name may or may not be a file, whole or torn. It is sent at once under a new
  name; a torn file is never whole, and of two whole ones with the same payload the swarm counts one.
- Between `send` and `settle`: an entry with a name that was written. It waits as it did in the process before.
- After `settle`: an answered entry, to be dropped when a checkpoint holds what it led to.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from drive_store.envelope import payload_sha256
from drive_store.errors import NameTaken, StoreError
from drive_store.experiment_store import ExperimentStore
from drive_store.names import require_incarnation
from drive_store.published import Publication, PublishedFile, publish_round_file
from drive_store.spool_files import SpoolEntry, SpoolFiles
from drive_store.store.store import Store

__all__ = ["Spool", "SpoolEntry"]

_MOST_NAMES = 20  # tried in one publication
OBSERVED = 200
"""How many of the last answers count."""
MARGIN = 3
"""So many times the observed delay a file may be on its way."""
UPLOADED_WAITS = 3
"""So many waits a file is given that Drive says it has uploaded: only the others' view of it is late."""
PROBES = 4
"""Looks at a file per wait."""
_TWIN = re.compile(r" \([0-9]+\)(?=\.[a-z]+$)")


class Spool:
    """The files of one node that wait for an answer.

    One thread changes it. Others may meanwhile ask what it holds and what waits: what they are given is a copy.

    Args:
        folder: on the machine's own disk. What a former process of the node left there is taken over.
        experiment: where to publish.
        node: whose files.
        incarnation: the present process life, under which all names are from now on.
        retry_s: seconds that a file may go unanswered at least before it is published again.
        clock: monotonic seconds.

    Raises:
        StoreError: the folder cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        experiment: ExperimentStore,
        node: str,
        incarnation: str,
        *,
        retry_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._experiment = experiment
        self._node, self._incarnation = node, require_incarnation(incarnation)
        self._on_the_way = OnTheWay(experiment.store, retry_s, clock)
        self._files = SpoolFiles(folder, experiment.name, node)
        self.problems = self._files.problems
        """What was damaged on the machine's own disk, or could not be noted there."""
        # Replaced as a whole, never changed: another thread may be reading it.
        self._entries = {entry.step: entry for entry in self._files.load()}

    def hold(
        self,
        *,
        round: int,  # noqa: A002
        stage: int,
        step: int,
        epoch: int,
        payload: bytes,
        attachment: bytes = b"",
    ) -> SpoolEntry:
        """Keep a round file until it is answered; it is on the machine's own disk when this returns.

        Args:
            round: the round it belongs to.
            stage: its stage.
            step: the node's count of updates.
            epoch: the coordinator's term that the node obeys.
            payload: what is published.
            attachment: kept beside it, and not published.

        Returns:
            The entry. A second call with the same step and payload returns that of the first.

        Raises:
            NameTaken: another payload is held for this step; adopt that one.
            StoreFull: the machine's own disk is full; nothing that it held was lost.
            StoreError: the machine's own disk cannot be used.
        """
        sha256 = payload_sha256(payload)
        known = self._entries.get(step)
        if known is not None:
            if known.sha256 != sha256:
                raise NameTaken(
                    f"{self._node} holds another file for step {step} already (round {known.round}), and one counts. "
                    "Take that one."
                )
            return known
        entry = SpoolEntry(
            node=self._node,
            incarnation=self._incarnation,
            round=round,
            stage=stage,
            step=step,
            epoch=epoch,
            payload=payload,
            attachment=attachment,
            sha256=sha256,
        )
        self._files.add(entry)
        self._entries = {**self._entries, step: entry}
        return entry

    def send(self, step: int) -> PublishedFile:
        """Publish an entry, unless this process has done so. Call `Store.check` before a batch of these.

        Returns:
            The file; that of the earlier call if there was one.

        Raises:
            KeyError: no entry is held for the step.
            StoreError: it could not be published; `retry_due` will do so as soon as the store answers.
        """
        entry = self._entries[step]
        sent = self._on_the_way.sent(entry.keys[-1]) if entry.keys else None
        return self._publish(entry) if sent is None else sent

    def retry_due(self) -> list[PublishedFile]:
        """Publish again, under new names, what is overdue or lost, and for the first time what never was.

        Overdue is a file that has waited for three times the observed delay between publication and answer (its 99th
        percentile), and at least for `retry_s`; one that the store says it has uploaded, for three times that. Lost is
        a file that is not there any more, or has another length.

        Raises:
            StoreError: the store is away, or is not the one that was attached. What was published before it failed
                is noted, and the next call continues from there.
        """
        due = [entry for entry in self.unanswered() if self._on_the_way.due(entry)]
        if due:
            self._experiment.store.check()
        return [self._publish(entry) for entry in due]

    def settle(self, sha256: str, outcome: str, key: str = "") -> bool:
        """Take the state log's answer.

        Args:
            sha256: of the payload that is answered.
            outcome: accepted, late, superseded or rejected.
            key: the file that was answered, where known: the delay is counted from its own publication.

        Returns:
            True if the payload is held here and had no answer; the first answer stands.
        """
        return self._answer([e for e in self.unanswered() if e.sha256 == sha256], outcome, _plain(key))

    def settle_key(self, key: str, outcome: str) -> bool:
        """Take an answer that names the file only; see `settle`."""
        return self._answer([e for e in self.unanswered() if _plain(key) in e.keys], outcome, _plain(key))

    def _answer(self, entries: list[SpoolEntry], outcome: str, key: str) -> bool:
        for entry in entries:
            self._on_the_way.answered(entry, key)
            self._settle(entry, outcome)
        return bool(entries)

    def damaged(self, key: str) -> bool:
        """Take the news that others found a file damaged: the next `retry_due` publishes it under a new name.

        Returns:
            True if it is the last file of an entry without an answer; an earlier one has been replaced already.
        """
        found = any(entry.keys[-1:] == (_plain(key),) for entry in self.unanswered())
        if found:
            self._on_the_way.spoil(_plain(key))
        return found

    def entry(self, step: int) -> SpoolEntry | None:
        """What is held for a step."""
        return self._entries.get(step)

    def entries(self) -> list[SpoolEntry]:
        """All that is held, by step."""
        return [entry for _, entry in sorted(self._entries.items())]

    def unanswered(self) -> list[SpoolEntry]:
        """What waits for an answer, by step."""
        return [entry for entry in self.entries() if not entry.outcome]

    @property
    def bytes_waiting(self) -> int:
        """Bytes of payloads and attachments that wait for an answer."""
        return sum(len(entry.payload) + len(entry.attachment) for entry in self.unanswered())

    @property
    def wait_s(self) -> float:
        """Seconds that a file may go unanswered, as things are."""
        return self._on_the_way.wait_s

    def release(self, through_step: int) -> None:
        """Drop the answered entries of steps up to one, since a checkpoint holds what they led to.

        Raises:
            StoreError: the machine's own disk cannot be used.
        """
        for entry in self.entries():
            if entry.outcome and entry.step <= through_step:
                self._files.drop(entry)
                self._entries = {step: e for step, e in self._entries.items() if step != entry.step}
                self._on_the_way.forget(entry.keys)

    def expire(self) -> list[SpoolEntry]:
        """Give up what has no answer: mark it as expired, and name it."""
        left = self.unanswered()
        for entry in left:
            self._settle(entry, "expired")
        return left

    def _publish(self, entry: SpoolEntry) -> PublishedFile:
        """Write the entry under its next name, and under those after it while damaged files have them."""
        self._reserve(entry, fresh=entry.size > 0)
        for _ in range(_MOST_NAMES - 1):
            with suppress(NameTaken):
                return self._write(entry)
            self._reserve(entry, fresh=True)
        return self._write(entry)

    def _reserve(self, entry: SpoolEntry, *, fresh: bool) -> None:
        """Note the next name before the store is touched; one that may not have become a file yet is used again."""
        own = self._experiment.paths.rollouts_folder(self._node, self._incarnation)
        if not fresh and entry.keys and entry.keys[-1].startswith(f"{own}/"):
            return
        key = self._experiment.paths.round_file(
            self._node, self._incarnation, entry.round, entry.stage, len(entry.keys), entry.sha256
        )
        entry.keys, entry.size = (*entry.keys, key), 0
        self._note(entry)

    def _write(self, entry: SpoolEntry) -> PublishedFile:
        file = publish_round_file(
            self._experiment,
            Publication(
                node=self._node,
                incarnation=self._incarnation,
                round=entry.round,
                stage=entry.stage,
                payload=entry.payload,
                attempt=len(entry.keys) - 1,
                epoch=entry.epoch,
                sequence=entry.step,
            ),
        )
        self._on_the_way.add(file)
        entry.size = file.size
        self._note(entry)
        return file

    def _settle(self, entry: SpoolEntry, outcome: str) -> None:
        entry.outcome = outcome
        self._note(entry)

    def _note(self, entry: SpoolEntry) -> None:
        """Note what changed. A failure does not stop anything: at worst the file is published once more."""
        try:
            self._files.note(entry)
        except StoreError as error:
            problem = f"What became of step {entry.step} could not be noted: {error}"
            if problem not in self.problems:
                self.problems.append(problem)


def _plain(key: str) -> str:
    """The key that a twin's key doubles: a reader may have met our file under a twin's name."""
    return _TWIN.sub("", key)


@dataclass
class _OnItsWay:
    """What this process knows of a file that no record has answered."""

    since: float
    """When it was sent; in a former process, when this one began."""
    looked: float
    """When it was looked at last."""
    file: PublishedFile | None = None
    """None if a former process sent it."""
    uploaded: bool = False
    damaged: bool = False
    """Whether it is of no use to others."""


class OnTheWay:
    """The files that no record has answered, and how long answers take.

    Args:
        store: where the files are.
        retry_s: seconds that a file may go unanswered at least.
        clock: monotonic seconds.
    """

    def __init__(self, store: Store, retry_s: float, clock: Callable[[], float]) -> None:
        self._store, self._retry_s, self._clock = store, retry_s, clock
        self._began = clock()
        self._files: dict[str, _OnItsWay] = {}
        self._delays: tuple[float, ...] = ()  # replaced as a whole: another thread may be reading it

    @property
    def wait_s(self) -> float:
        """Seconds that a file may go unanswered: three times the 99th percentile of delays, or `retry_s`."""
        return max(MARGIN * percentile_99(self._delays), self._retry_s)

    def add(self, file: PublishedFile) -> None:
        """Take note that a file was sent now."""
        self._files[file.key] = _OnItsWay(self._clock(), self._clock(), file)

    def sent(self, key: str) -> PublishedFile | None:
        """The file of a key, if this process has sent it."""
        return self._of(key).file

    def answered(self, entry: SpoolEntry, key: str) -> None:
        """Take note that an answer came now.

        Args:
            entry: what was answered.
            key: which of its files; "" where that is not known. Of an entry that was sent more than once the delay is
                then not known either: counted from the first or from the last it would drift.
        """
        one = self._of(key or (entry.keys[0] if len(entry.keys) == 1 else ""))
        if one.file is not None:
            self._delays = (*self._delays, self._clock() - one.since)[-OBSERVED:]

    def spoil(self, key: str) -> None:
        """Take note that a file is of no use to others."""
        self._of(key).damaged = True

    def forget(self, keys: Collection[str]) -> None:
        """Drop what is known of files."""
        self._files = {key: one for key, one in self._files.items() if key not in keys}

    def due(self, entry: SpoolEntry) -> bool:
        """Say whether an unanswered entry is to be published now.

        Raises:
            StoreError: its file cannot be looked at.
        """
        if not entry.size or self._of(entry.keys[-1]).damaged:
            return True
        key, now, wait_s = entry.keys[-1], self._clock(), self.wait_s
        one = self._of(key)
        if now - one.since >= wait_s:
            one.uploaded = one.uploaded or bool(self._store.uploaded(key))
            if not one.uploaded or now - one.since >= UPLOADED_WAITS * wait_s:
                return True
        if now - one.looked < wait_s / PROBES:
            return False
        one.looked = now
        return self._store.size(key) != entry.size

    def _of(self, key: str) -> _OnItsWay:
        return self._files.setdefault(key, _OnItsWay(self._began, self._began))


def percentile_99(values: Collection[float]) -> float:
    """The 99th percentile by nearest rank: of fewer than 100 values the largest, and 0 of none."""
    ranked = sorted(values)
    return ranked[ceil(0.99 * len(ranked)) - 1] if ranked else 0.0
