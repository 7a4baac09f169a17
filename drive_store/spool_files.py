"""The spool's files on the machine's own disk: what is to be published, and what became of it.

An entry is two files. ``<node>.<step>.entry`` holds the payload and is written once, synced, before anything else
happens. ``<node>.<step>.fate`` holds names and outcome, a line each time that they change, of which the last whole one
counts. It is not synced: a line that is lost with the power costs another publication, and nothing else.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from drive_store.envelope import Expected, Header, Valid, open_envelope, payload_sha256, seal_packed
from drive_store.errors import errors_of, own_disk
from drive_store.names import require_id
from drive_store.store.transfer import PART, write_durably

ENTRY, FATE, DAMAGED = ".entry", ".fate", ".damaged"
_MAX_ENTRY = 1 << 31


class SpoolEntry(msgspec.Struct):
    """One round file that is to be published, once per node and step."""

    node: str
    incarnation: str
    """Who held it first; the names after a restart are those of the new incarnation."""
    round: int
    stage: int
    step: int
    epoch: int
    payload: bytes
    """Of the round file."""
    attachment: bytes
    """Never published: what its owner needs to use the file again, the token ids say."""
    sha256: str
    """Of the payload."""
    keys: tuple[str, ...] = ()
    """Of all attempts, over all incarnations. The last may never have become a file: it is noted before the store is
    touched."""
    size: int = 0
    """Bytes of the last attempt's file; 0 until the store took it."""
    outcome: str = ""
    """accepted, late, superseded, rejected or expired; empty while unanswered."""


class _Body(msgspec.Struct, frozen=True):
    payload: bytes
    attachment: bytes


class _Fate(msgspec.Struct, frozen=True):
    sha256: str
    attempts: int
    keys: tuple[str, ...]
    size: int
    outcome: str


class SpoolFiles:
    """Reads and writes the entries of one node in a folder; other nodes may have theirs beside them.

    Args:
        folder: on the machine's own disk; made if it is not there.
        experiment: the experiment's name.
        node: whose entries.

    Raises:
        StoreError: the folder cannot be made.
    """

    def __init__(self, folder: Path, experiment: str, node: str) -> None:
        self._folder, self._experiment, self._node = folder, experiment, require_id(node, "node")
        self._name = re.compile(rf"{re.escape(node)}\.([0-9]{{9,}}){re.escape(ENTRY)}")
        self.problems: list[str] = []
        """What was found damaged, and where it was put."""
        with _errors_of(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def load(self) -> list[SpoolEntry]:
        """Read what is there, by step, and clear away what killed processes left half done.

        Raises:
            StoreError: the folder cannot be read.
        """
        with _errors_of(self._folder):
            for part in self._folder.glob(f"{self._node}.*{PART}"):
                part.unlink()
            steps = [
                int(found[1])
                for path in self._folder.glob(f"{self._node}.*{ENTRY}")
                if (found := self._name.fullmatch(path.name))
            ]
            for path in self._folder.glob(f"{self._node}.*{FATE}"):
                if not path.with_suffix(ENTRY).exists():
                    path.unlink()
            return [entry for step in sorted(steps) if (entry := self._load(step)) is not None]

    def add(self, entry: SpoolEntry) -> None:
        """Write a new entry; it is on the disk when this returns.

        Raises:
            StoreFull: the machine's own disk is full; nothing of the entry was left on it.
            StoreError: it cannot be written.
        """
        body = msgspec.msgpack.encode(_Body(entry.payload, entry.attachment))
        header = Header(
            kind="spool",
            experiment=self._experiment,
            node=entry.node,
            incarnation=entry.incarnation,
            epoch=entry.epoch,
            round=entry.round,
            stage=entry.stage,
            sequence=entry.step,
        )
        path = self._path(entry.step, ENTRY)
        with _errors_of(path):
            write_durably(path, seal_packed(header, body))

    def note(self, entry: SpoolEntry) -> None:
        """Write down an entry's names and outcome.

        Raises:
            StoreFull: the machine's own disk is full; what was noted before is still there.
            StoreError: it cannot be written.
        """
        fate = msgspec.json.encode(
            _Fate(entry.sha256, len(entry.keys), entry.keys, entry.size, entry.outcome)
        )
        path = self._path(entry.step, FATE)
        # Lines begin with their line end, so that one that was cut off does not spoil the next.
        with _errors_of(path), path.open("ab") as file:
            file.write(b"\n%s %s" % (payload_sha256(fate).encode(), fate))

    def drop(self, entry: SpoolEntry) -> None:
        """Remove an entry; first its payload, so that no entry without a fate is left to be published again.

        Raises:
            StoreError: it cannot be removed.
        """
        with _errors_of(self._folder):
            self._path(entry.step, ENTRY).unlink(missing_ok=True)
            self._path(entry.step, FATE).unlink(missing_ok=True)

    def _load(self, step: int) -> SpoolEntry | None:
        path = self._path(step, ENTRY)
        reading = open_envelope(
            path.read_bytes(),
            Expected(kind="spool", experiment=self._experiment, node=self._node, max_payload=_MAX_ENTRY),
        )
        if not isinstance(reading, Valid) or reading.header.sequence != step:
            why = "it has another step's name" if isinstance(reading, Valid) else reading.reason
            path.replace(path.with_name(path.name + DAMAGED))
            self.problems.append(
                f"{path} cannot be published, and was renamed to {path.name}{DAMAGED}: {why}"
            )
            return None
        head, body = reading.header, msgspec.msgpack.decode(reading.payload, type=_Body)
        entry = SpoolEntry(
            node=head.node,
            incarnation=head.incarnation,
            round=head.round,
            stage=head.stage,
            step=step,
            epoch=head.epoch,
            payload=body.payload,
            attachment=body.attachment,
            sha256=payload_sha256(body.payload),
        )
        self._add_fate(entry)
        return entry

    def _add_fate(self, entry: SpoolEntry) -> None:
        path = self._path(entry.step, FATE)
        lines = path.read_bytes().split(b"\n") if path.exists() else []
        fates = [(digest, text) for digest, _, text in (line.partition(b" ") for line in lines) if digest]
        whole = [text for digest, text in fates if digest == payload_sha256(text).encode()]
        if whole:
            fate = msgspec.json.decode(whole[-1], type=_Fate)
            if fate.sha256 == entry.sha256:
                entry.keys, entry.size, entry.outcome = fate.keys, fate.size, fate.outcome
        elif fates:
            self.problems.append(f"{path} is damaged, so the file of step {entry.step} is published again")

    def _path(self, step: int, suffix: str) -> Path:
        return self._folder / f"{self._node}.{step:09d}{suffix}"


def _errors_of(path: Path) -> AbstractContextManager[None]:
    return errors_of("use", own_disk(path))
