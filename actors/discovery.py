"""Discovery: registers a worker's nodes, gives their signs of life, and finds peers."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from actors.kept import Kept
from actors.reach import Reach
from actors.store_meter import StoreMeter, add_use
from drive_store import NameTaken, Registry, StoreError, StoreUnavailable, Valid, make_node_folders
from swarm_ray.config import PaceConfig
from swarm_ray.experiment_folder import ExperimentAddress
from swarm_ray.records import Beat, Member, NodeTotals, Registration, StoreUse


class Voice(msgspec.Struct):
    """What discovery says of a node; kept on this machine's disk."""

    incarnation: str
    beat: Beat
    unsaid: bool = True
    """The beat has not reached the folder yet and must: it is tried again until it has."""


class Discovery:
    """The worker's voice in `peers/`. Beats are written from here, so that a long computation silences nobody.

    What it says lies on this machine's own disk too, so that one that was restarted goes on beating.

    Args:
        address: the experiment.
        worker: the worker's id.
        pace: how often to beat.
        config_hash: of the swarm-wide settings that this worker obeys.
        versions: of Python and the packages that matter.
        spool: a folder on this machine's own disk; None keeps nothing.
    """

    def __init__(
        self,
        address: ExperimentAddress,
        worker: str,
        pace: PaceConfig,
        config_hash: str,
        versions: dict[str, str],
        spool: Path | None = None,
    ) -> None:
        self._reach, self._paths = Reach(address), address.paths
        self._store = self._reach.store
        self._meter, self._logger_use = StoreMeter(self._store), StoreUse()
        self._registry = Registry(self._store, self._paths)
        self._worker, self._pace = worker, pace
        self._config_hash, self._versions = config_hash, versions
        self._kept = Kept(spool / "voices.json" if spool else None, dict[str, Voice])
        self._voices: dict[str, Voice] = self._kept.load() or {}
        self._spoken: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.problem = ""
        """Why the last write did not reach the folder; empty when it did."""

    def register(self, nodes: list[Member], succeeds: dict[str, str] | None = None) -> None:
        """Make each node's folders and announce it, then give its first beat; harmless when repeated.

        Args:
            nodes: with their incarnations; a new incarnation takes the place of an earlier one.
            succeeds: node ids to the incarnations that they continue.

        Raises:
            StoreError: the folder cannot be written.
        """
        self._reach.check()
        for member in nodes:
            known = self._voices.get(member.node)
            if known and known.incarnation == member.incarnation and not known.unsaid:
                continue
            make_node_folders(self._store, self._paths, member.node, member.incarnation)
            self._announce(member, (succeeds or {}).get(member.node, ""))
            first = Beat(0, -1, 0, "registered", NodeTotals())
            with self._lock:
                self._voices[member.node] = Voice(member.incarnation, first)
                self._write(member.node)

    def report(
        self, beats: list[tuple[str, Beat]], *, published: bool, logger: StoreUse | None = None
    ) -> None:
        """Take note of what trainers say; what is new beside their progress is written at once.

        Args:
            beats: node ids and what they have to say; the count is set here.
            published: whether each node has just published a file, which is a sign of life in itself.
            logger: what the worker's logger has asked of the folder so far, where that is known.
        """
        with self._lock:
            self._logger_use = logger or self._logger_use
            for node, beat in beats:
                known = self._voices.get(node)
                if known is None:
                    continue
                problem = beat.problem or known.beat.problem  # once said, it stays
                before = known.beat
                known.beat = msgspec.structs.replace(beat, count=before.count, problem=problem)
                if published:
                    self._spoken[node] = time.monotonic()
                if beat.done or beat.problem or (not published and _differs(before, known.beat)):
                    self._write(node)

    def run(self) -> None:
        """Beat for every node that has been quiet for `pace.beat_s`, until `stop`.

        A folder that cannot be reached is tried again for ever; `problem` says so.
        """
        while not self._stop.wait(self._pace.beat_s / 4):
            now = time.monotonic()
            with self._lock:
                for node, voice in list(self._voices.items()):
                    quiet = now - self._spoken.get(node, 0.0)
                    ended = voice.beat.done or voice.beat.problem
                    if voice.unsaid or (quiet >= self._pace.beat_s and not ended):
                        self._write(node)

    def fail(self, problem: str) -> None:
        """Say of every node that is not done that it is lost, and why."""
        with self._lock:
            beats = [(node, voice.beat) for node, voice in self._voices.items()]
        unfinished = [(n, b) for n, b in beats if not (b.done or b.problem)]
        self.report(
            [(n, msgspec.structs.replace(b, problem=problem)) for n, b in unfinished], published=False
        )

    def reach(self) -> str:
        """Why the last beat did not reach the folder; empty when it did."""
        return self.problem

    def stop(self) -> None:
        """End `run`; harmless when repeated."""
        self._stop.set()

    def flush(self) -> None:
        """Return when all that had to be said is in the folder.

        Raises:
            StoreUnavailable: a beat could not be written.
        """
        with self._lock:
            for node, voice in self._voices.items():
                if voice.unsaid:
                    self._write(node)
            unsaid = [node for node, voice in self._voices.items() if voice.unsaid]
        if unsaid:
            raise StoreUnavailable(f"the beat of {', '.join(unsaid)} could not be written: {self.problem}")

    def discover_peers(self, exclude_self: bool = True, max_peers: int | None = None) -> list[Registration]:
        """Registered nodes ordered by id, those of this worker left out unless asked for.

        Raises:
            StoreError: the folder cannot be read.
        """
        found = []
        for reading in self._registry.registrations().values():
            if isinstance(reading, Valid):
                registration = msgspec.json.decode(reading.payload, type=Registration)
                if not (exclude_self and registration.node in self._voices):
                    found.append(registration)
        return sorted(found, key=lambda r: (r.node, r.incarnation))[:max_peers]

    def _announce(self, member: Member, succeeds: str) -> None:
        """Register; an announcement that is there already is this very one, made before a restart."""
        registration = Registration(
            node=member.node,
            incarnation=member.incarnation,
            worker=self._worker,
            config_hash=self._config_hash,
            versions=self._versions,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            succeeds=succeeds,
        )
        try:
            self._registry.register(member.node, member.incarnation, msgspec.json.encode(registration))
        except NameTaken:
            reading = self._registry.registrations().get((member.node, member.incarnation))
            if isinstance(reading, Valid):
                found = msgspec.json.decode(reading.payload, type=Registration)
                if found.worker != self._worker:
                    raise

    def _write(self, node: str) -> None:
        """Give a sign of life; the count is kept first, so that it grows over a restart too."""
        voice = self._voices[node]
        voice.beat = msgspec.structs.replace(voice.beat, count=voice.beat.count + 1)
        voice.unsaid = True
        try:
            self._kept.save(self._voices)
            payload = msgspec.json.encode(self._with_use(node, voice.beat))
            self._registry.write_beat(node, voice.incarnation, voice.beat.count, payload)
        except StoreError as error:
            self.problem = str(error)
            return
        self.problem, voice.unsaid = "", False
        self._spoken[node] = time.monotonic()

    def _with_use(self, node: str, beat: Beat) -> Beat:
        """The worker's first node tells in its beats what discovery and the logger ask of the folder."""
        if node != min(self._voices):
            return beat
        return msgspec.structs.replace(beat, store=add_use(beat.store, self._logger_use, self._meter.total()))


def _differs(before: Beat, after: Beat) -> bool:
    """Whether more than the trainer's progress has changed."""
    return msgspec.structs.replace(before, progress=0) != msgspec.structs.replace(after, progress=0)
