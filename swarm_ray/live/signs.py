"""The nodes' signs of life: who announced itself, and what each said last."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from drive_store import Registry, StateRef, Valid
from drive_store.envelope import NotYet
from drive_store.names import parse_beat_name, parse_registration_name
from swarm_ray.experiments.read import OpenExperiment
from swarm_ray.live.sightings import Sightings
from swarm_ray.records import Beat, Registration, StateRecord


@dataclass(frozen=True)
class Sign:
    """What one node last gave of itself."""

    incarnation: str
    beat: Beat | None = None
    problem: str = ""
    """Why its beat cannot be read."""
    seen_s: float | None = None
    by_clocks: bool = False


class Signs:
    """Reads a beat per node and look: that of the incarnation that takes part.

    Args:
        opened: the experiment.
        sightings: judge who is silent.
    """

    def __init__(self, opened: OpenExperiment, sightings: Sightings) -> None:
        self._opened, self._sightings = opened, sightings
        self._registry = Registry(opened.store, opened.paths)
        self._lives: dict[str, set[str]] = {}
        self._last: dict[str, Sign] = {}

    def look(self, record: StateRecord | None, ref: StateRef | None) -> dict[str, Sign]:
        """The sign of every node that ever announced itself.

        Args:
            record: the newest one; None before the first.
            ref: its name.

        Raises:
            StoreError: the folder cannot be read.
        """
        lives = self._announced()
        taking_part = _incarnations(record)
        for node, found in lives.items():
            known, member = self._last.get(node), taking_part.get(node)
            if member in found:
                asked = {member}
            elif known and found == self._lives.get(node):
                asked = {known.incarnation}
            else:
                asked = found
            signs = [self._read(node, incarnation) for incarnation in sorted(asked)]
            best = max(signs, key=lambda sign: sign.beat.step if sign.beat else -1)
            self._last[node] = self._seen(node, best, record, ref)
        self._lives = lives
        return dict(self._last)

    def refused(self, node: str, incarnation: str, hashes: set[str]) -> str:
        """Why a node that stands in no state record is kept out of the swarm; empty where it may still come in.

        Args:
            node: its id.
            incarnation: its process life.
            hashes: of the configurations that are obeyed.

        Raises:
            StoreError: the folder cannot be read.
        """
        reading = self._registry.registrations().get((node, incarnation))
        if not isinstance(reading, Valid):
            return ""
        try:
            theirs = msgspec.json.decode(reading.payload, type=Registration).config_hash
        except msgspec.MsgspecError as error:
            return f"its registration cannot be read: {error}"
        return "" if theirs in hashes else f"refused: its configuration is {theirs}, not {min(hashes)}"

    def _announced(self) -> dict[str, set[str]]:
        lives: dict[str, set[str]] = {}
        for text in self._opened.store.names(self._opened.paths.peers_folder):
            name = parse_beat_name(text) or parse_registration_name(text)
            if name is not None:
                lives.setdefault(name.node, set()).add(name.incarnation)
        return lives

    def _read(self, node: str, incarnation: str) -> Sign:
        """A beat; one that is being rewritten just now says what it said before."""
        reading = self._registry.read_beat(node, incarnation)
        if isinstance(reading, NotYet):
            known = self._last.get(node)
            return known if known and known.incarnation == incarnation else Sign(incarnation)
        if not isinstance(reading, Valid):
            return Sign(incarnation, problem=f"its beat cannot be read: {reading.reason}")
        try:
            return Sign(incarnation, msgspec.json.decode(reading.payload, type=Beat))
        except msgspec.MsgspecError as error:
            return Sign(incarnation, problem=f"its beat cannot be read: {error}")

    def _seen(self, node: str, sign: Sign, record: StateRecord | None, ref: StateRef | None) -> Sign:
        """A file that was accepted is a sign of life as well, since a node that publishes often beats rarely."""
        tally = record.tallies.get(node) if record else None
        mark = (
            sign.incarnation,
            sign.beat.count if sign.beat else -1,
            (tally.round, tally.step) if tally else None,
        )
        published = bool(record and record.closed and any(f.node == node for f in record.closed.accepted))
        key = f"node {node}"
        self._sightings.note(key, mark, lambda: self._age(node, sign, ref if published else None))
        return replace(sign, seen_s=self._sightings.silence(key), by_clocks=self._sightings.by_clocks(key))

    def _age(self, node: str, sign: Sign, ref: StateRef | None) -> float | None:
        paths = self._opened.paths
        keys = [paths.beat(node, sign.incarnation)]
        keys += [paths.state_record(ref.epoch, ref.sequence, ref.claimant)] if ref else []
        return min((age for key in keys if (age := self._opened.age(key)) is not None), default=None)


def _incarnations(record: StateRecord | None) -> dict[str, str]:
    """Which incarnation of each node takes part, by the newest record."""
    if record is None:
        return {}
    published = {f.node: f.incarnation for f in record.closed.accepted} if record.closed else {}
    return published | ({m.node: m.incarnation for m in record.opens.members} if record.opens else {})
