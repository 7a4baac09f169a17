"""The nodes' signs of life, look after look: what each said last, and since when it is silent."""

from __future__ import annotations

from dataclasses import dataclass, replace

from drive_store import StateRef
from swarm_ray.experiments.read.experiment import OpenExperiment
from swarm_ray.experiments.read.node_liveness import Peers, taking_part
from swarm_ray.observe.sightings import Sightings
from swarm_ray.records.nodes import Beat
from swarm_ray.records.state import StateRecord


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
        self.peers = Peers(opened)
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
        lives = self.peers.announced()
        members = taking_part(record)
        for node, found in lives.items():
            known, member = self._last.get(node), members.get(node)
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

    def _read(self, node: str, incarnation: str) -> Sign:
        """A beat; one that is being rewritten just now says what it said before."""
        beat, problem = self.peers.beat(node, incarnation)
        known = self._last.get(node)
        if beat is None and not problem and known and known.incarnation == incarnation:
            return known
        return Sign(incarnation, beat, problem)

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
        keys = [paths.beat(node, sign.incarnation), paths.registration(node, sign.incarnation)]
        keys += [paths.state_record(ref.epoch, ref.sequence, ref.claimant)] if ref else []
        return min((age for key in keys if (age := self._opened.age(key)) is not None), default=None)
