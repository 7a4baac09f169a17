"""Liveness of nodes and coordinator: who registered, the last heartbeat of each, and since when it is silent.

Silence is judged by change on this machine's own clock. What has not been seen to change yet is as old as wall clocks
say, which differ between machines.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import msgspec

from drive_store import UNREADABLE, Registry, Valid, is_dead, record_in
from drive_store.envelope import NotYet
from drive_store.names import parse_beat_name, parse_registration_name
from swarm_ray.config.schema import PaceConfig
from swarm_ray.experiments.read.experiment import ExperimentFolder, OpenExperiment
from swarm_ray.formatting import duration
from swarm_ray.identity import is_peer_id
from swarm_ray.records.nodes import Beat, Registration
from swarm_ray.records.state import ENDED, ExperimentState, StateRecord


class Peers:
    """Reads what nodes say of themselves; a registration, which never changes, is read once.

    Args:
        experiment: whose.
    """

    def __init__(self, experiment: ExperimentFolder) -> None:
        self._experiment = experiment
        self._registry = Registry(experiment.view)

    def announced(self) -> dict[str, set[str]]:
        """Node to its incarnations, of all that ever announced themselves; one listing.

        Raises:
            StoreError: the folder cannot be listed.
        """
        lives: dict[str, set[str]] = {}
        for text in self._experiment.store.names(self._experiment.paths.peers_folder):
            name = parse_beat_name(text) or parse_registration_name(text)
            if name is not None:
                lives.setdefault(name.node, set()).add(name.incarnation)
        return lives

    def beat(self, node: str, incarnation: str) -> tuple[Beat | None, str]:
        """What an incarnation said last, or why that cannot be read; neither while it is being written.

        Raises:
            StoreError: the folder cannot be read.
        """
        reading = self._registry.read_beat(node, incarnation)
        if isinstance(reading, NotYet):
            return None, ""
        if not isinstance(reading, Valid):
            return None, f"its beat cannot be read: {reading.reason}"
        try:
            return msgspec.json.decode(reading.payload, type=Beat), ""
        except UNREADABLE as error:
            return None, f"its beat cannot be read: {error}"

    def peer_id(self, node: str, incarnation: str) -> str:
        """By which libp2p knows an incarnation of a node, as it says itself; empty where it says nothing of the kind.

        Costs one read, of a registration.

        Raises:
            StoreError: the folder cannot be read.
        """
        said = record_in(self._registry.registration(node, incarnation), Registration)
        return said.peer_id if said is not None and is_peer_id(said.peer_id) else ""

    def refused(self, node: str, incarnation: str, first: str, in_force: str) -> str:
        """Why a node that stands in no state record is kept out of the swarm; empty where it may still come in.

        Costs one read, of a registration.

        Args:
            node: its id.
            incarnation: its process life.
            first: the hash of the configuration that the experiment was made with.
            in_force: the hash of the configuration that the newest state record names; empty for the first one.

        Raises:
            StoreError: the folder cannot be read.
        """
        reading = self._registry.registration(node, incarnation)
        if not isinstance(reading, Valid):
            return ""
        try:
            theirs = msgspec.json.decode(reading.payload, type=Registration).config_hash
        except UNREADABLE as error:
            return f"its registration cannot be read: {error}"
        accepted = theirs in {first, in_force}
        return "" if accepted else f"refused: its configuration is {theirs}, not {in_force or first}"


def participants(record: StateRecord) -> dict[str, str]:
    """Node to the incarnation that takes part, as a state record names it."""
    published = {f.node: f.incarnation for f in record.closed.accepted} if record.closed else {}
    return published | ({m.node: m.incarnation for m in record.opens.members} if record.opens else {})


@dataclass(frozen=True)
class _Change:
    mark: object
    since: float | None
    """On this machine's own clock; None where it is not known when it was before it was first seen."""
    seen: bool
    """False where that rests on wall clocks."""


class ChangeClock:
    """Seconds since things last changed.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._changes: dict[str, _Change] = {}

    def note(self, key: str, mark: object, age: Callable[[], float | None]) -> None:
        """Take note of a look.

        Args:
            key: what was looked at.
            mark: differs when it has changed.
            age: seconds since it was written, by wall clocks; asked at the first look alone.
        """
        known = self._changes.get(key)
        if known is None or known.mark != mark:
            before = 0.0 if known else age()
            since = None if before is None else self._clock() - before
            self._changes[key] = _Change(mark, since, seen=known is not None)

    def silence(self, key: str) -> float | None:
        """Seconds since it changed; None where that is not known."""
        since = known.since if (known := self._changes.get(key)) else None
        return None if since is None else max(0.0, self._clock() - since)

    def by_clocks(self, key: str) -> bool:
        """Whether `silence` rests on wall clocks."""
        known = self._changes.get(key)
        return known is not None and not known.seen


@dataclass(frozen=True)
class NodeLiveness:
    """The last heartbeat of a node."""

    incarnation: str
    beat: Beat | None = None
    problem: str = ""
    """Why its beat cannot be read."""
    seen_s: float | None = None
    """Seconds since it gave a heartbeat or published a file; None where nothing of it is seen."""
    by_clocks: bool = False
    """Whether `seen_s` rests on wall clocks."""

    def silent(self, pace: PaceConfig) -> bool:
        """Whether nothing of it has changed for so long that the coordinator thinks it dead."""
        return is_dead(self.seen_s, pace.dead_after_s)

    def trains_alone(self, pace: PaceConfig) -> bool:
        """Whether it said last that it trains without a coordinator, and is not silent since."""
        return self.beat is not None and self.beat.alone and not self.beat.done and not self.silent(pace)


class LivenessReader:
    """Reads one beat per node and look: that of the incarnation that takes part.

    Args:
        experiment: whose.
        changes: judges who is silent.
    """

    def __init__(self, experiment: OpenExperiment, changes: ChangeClock) -> None:
        self._experiment, self._changes = experiment, changes
        self.peers = Peers(experiment)
        self._lives: dict[str, set[str]] = {}
        self._last: dict[str, NodeLiveness] = {}

    def look(self, record: StateRecord) -> dict[str, NodeLiveness]:
        """The liveness of every node that ever announced itself.

        Args:
            record: the newest one.

        Raises:
            StoreError: the folder cannot be read.
        """
        lives, members = self.peers.announced(), participants(record)
        for node, found in lives.items():
            known, member = self._last.get(node), members.get(node)
            unchanged = known is not None and found == self._lives.get(node)
            asked = [member] if member else [known.incarnation] if known and unchanged else sorted(found)
            read = [self._read(node, incarnation) for incarnation in asked]
            furthest = max(read, key=lambda one: one.beat.step if one.beat else -1)
            self._last[node] = self._dated(node, furthest, record)
        self._lives = lives
        return dict(self._last)

    def _read(self, node: str, incarnation: str) -> NodeLiveness:
        """A beat that is being rewritten says what it said before."""
        beat, problem = self.peers.beat(node, incarnation)
        known = self._last.get(node)
        if beat is None and not problem and known and known.incarnation == incarnation:
            return known
        return NodeLiveness(incarnation, beat, problem)

    def _dated(self, node: str, one: NodeLiveness, record: StateRecord) -> NodeLiveness:
        """A node that publishes often beats rarely, so an accepted file counts as a heartbeat."""
        key, tally = f"node {node}", record.tallies.get(node)
        accepted = record.closed.accepted if record.closed else ()
        published = [file.key for file in accepted if file.node == node]
        moved = (tally.round, tally.step) if tally else None
        mark = (one.incarnation, one.beat.count if one.beat else -1, moved)
        self._changes.note(key, mark, lambda: self._age(node, one.incarnation, published))
        return replace(one, seen_s=self._changes.silence(key), by_clocks=self._changes.by_clocks(key))

    def _age(self, node: str, incarnation: str, published: list[str]) -> float | None:
        """By wall clocks; a node that died before its first beat is as old as its registration."""
        experiment, paths = self._experiment, self._experiment.paths
        age = experiment.age(paths.beat(node, incarnation), *published)
        return experiment.age(paths.registration(node, incarnation)) if age is None else age


NOW_S = 1.0
"""Seconds within which something counts as seen just now."""


class CoordinatorStatus(msgspec.Struct, frozen=True):
    """The coordinator of an experiment at one moment."""

    claimant: str
    """`coordinator.<incarnation>`: who wrote the newest state record."""
    last_seen_s: float | None
    """Seconds since any coordinator wrote a record or a beat, by wall clocks."""
    alive: bool
    """Whether that is less than `pace.dead_after_s`, and the experiment has not ended."""
    problem: str | None
    """What its silence means for the nodes, in words."""


PAUSED = "no further round opens until somebody asks it to resume"
"""What a pause means, while there is a coordinator that can be asked."""


def coordinator_line(claimant: str, epoch: int, seen_s: float | None, *, by_clocks: bool) -> str:
    """Who coordinates, and when it was last heard of."""
    if seen_s is None:
        return f"{claimant}, epoch {epoch}"
    ago = "just now" if seen_s < NOW_S else f"{'about ' if by_clocks else ''}{duration(seen_s)} ago"
    return f"{claimant}, epoch {epoch}, last heard of {ago}"


def coordinator_alarm(
    state: ExperimentState, seen_s: float | None, pace: PaceConfig, nodes: Collection[NodeLiveness]
) -> str:
    """What it means that nothing is heard of a coordinator; empty while all is well.

    Args:
        state: of the newest record.
        seen_s: seconds since anything of a coordinator changed; None where that is not known.
        pace: the patience of the swarm.
        nodes: the last heartbeat of each.
    """
    if state in ENDED or seen_s is None or not is_dead(seen_s, pace.dead_after_s):
        return ""
    since = f"no heartbeat of a coordinator for {duration(seen_s)}"
    if all(one.silent(pace) for one in nodes):
        return f"{since}, nor of any node: run the command that started it again to resume"
    alone = sum(one.trains_alone(pace) for one in nodes)
    if alone:
        return f"{since}: {alone} of {len(nodes)} nodes train alone until a coordinator comes back"
    left = pace.alone_after_s - seen_s
    ending = f", and train alone in {duration(left)}" if left > 0 else " for a coordinator to come back"
    return f"{since}: its nodes wait{ending}"
