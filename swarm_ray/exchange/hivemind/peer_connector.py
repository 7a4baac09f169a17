"""How links find each other through the folder: candidates are probed, live ones are joined, and later ones follow.

Nodes that started apart, each with a DHT of its own, become one DHT by it (https://github.com/learning-at-home/hivemind
has an issue about that, number 624): the peer that sees the other's record first connects.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from drive_store import StoreError
from swarm_ray.config.schema import DirectConfig
from swarm_ray.discovery import PeerBook
from swarm_ray.errors import LinkError
from swarm_ray.exchange.hivemind.link import MOST_CLOCK_S, DhtLink
from swarm_ray.exchange.hivemind.multiaddr import (
    MAX_PROBED,
    is_hosted_notebook,
    parse_multiaddr,
    probe,
    reach_of,
    read_bootnodes,
)
from swarm_ray.records.nodes import MAX_MULTIADDRS, PeerRecord, Reachable

MAX_JOINED = 8
"""So many peers are joined at a time; through them the DHT finds the others."""
JOIN_S = 6.0
LOOKS = 10
"""Looks at the folder within its time to live."""
SOONEST_S, LATEST_S = 0.5, 30.0
RETRY_S, RETRY_MOST_S = 5.0, 300.0
"""A peer that could not be reached is tried again after so many seconds, then after twice as many, and so on."""
_NAMED = 3


@dataclass(frozen=True)
class LinkAnnouncement:
    """What a link tells others, as `Discovery.announce_links` takes it."""

    peer_id: str
    multiaddrs: tuple[str, ...]
    reach: Reachable


@dataclass(frozen=True)
class _Candidate:
    """A link of others that may be joined."""

    via: str
    addresses: tuple[str, ...]
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class _Retry:
    """When a link that could not be reached is tried again, unless its addresses change."""

    addresses: tuple[str, ...]
    until: float
    last_s: float
    """The time between the last try and then."""


class PeerConnector:
    """Keeps a link connected with those of the other nodes of an experiment.

    Args:
        book: the announced peers.
        link: not started yet.
        direct: bootnodes and own addresses.
        experiment: whose nodes are joined.
        clock: monotonic seconds.

    Raises:
        ConfigError: a bootnode's address is malformed.
    """

    def __init__(
        self,
        book: PeerBook,
        link: DhtLink,
        direct: DirectConfig,
        experiment: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._book, self._link, self._direct, self._experiment = book, link, direct, experiment
        self._clock = clock
        self._bootnodes = [
            _Candidate(a.peer_id, (a.text,), (f"bootnode {a.host}",)) for a in read_bootnodes(direct)
        ]
        self._retries: dict[str, _Retry] = {}
        self._restart = _Retry((), 0.0, RETRY_S)
        self._next, self._every_s = 0.0, min(LATEST_S, max(SOONEST_S, book.ttl_s / LOOKS))
        self._thread: threading.Thread | None = None
        self.problem = ""
        """Which peers are not connected, or why the link is down, in words; empty when all is well."""

    @property
    def announcement(self) -> LinkAnnouncement:
        """What to tell others of the link; nothing while it is down."""
        if not self._link.alive:
            return LinkAnnouncement("", (), "none")
        ending = f"/p2p/{self._link.peer_id}"
        told = [address.removesuffix(ending) + ending for address in self._direct.announce]
        found = dict.fromkeys(a for a in (*told, *self._link.multiaddrs) if parse_multiaddr(a) is not None)
        public_first = tuple(sorted(found, key=lambda a: reach_of([a]) != "public")[:MAX_MULTIADDRS])
        return LinkAnnouncement(
            self._link.peer_id, public_first, reach_of(public_first, nat=is_hosted_notebook())
        )

    def start(self) -> None:
        """Start the link, and join at most `MAX_JOINED` of the announced peers that answer a probe.

        If nobody answers, it is a new DHT, which others join. An unreadable folder is not an error.

        Raises:
            UserError: hivemind is not installed.
            LinkError: the link does not start.
        """
        self._link.start()
        self._connect()

    def keep(self) -> None:
        """Look for new peers in the background, if it is time; to be called often, returns at once and never raises."""
        now = self._clock()
        if now < self._next or (self._thread is not None and self._thread.is_alive()):
            return
        self._next = now + self._every_s
        self._thread = threading.Thread(target=self._connect, name="peer-connector", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Return when a look that was begun is over."""
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """End the link and any look in progress; harmless when repeated."""
        self._next = math.inf
        self._link.close()
        self.wait()
        self._link.close()  # a look may just have started it again

    def _connect(self) -> None:
        try:
            if not self._link.alive and (now := self._clock()) >= self._restart.until:
                self._restart = _back_off(self._restart, (), now)
                self.problem = "the direct link died; files carry everything until it is back"
                self._link.start()
            if self._link.alive:
                self._look()
        except LinkError as error:
            self.problem = str(error)

    def _look(self) -> None:
        """Join announced peers that are not connected yet.

        Raises:
            LinkError: the link does not answer.
        """
        connected = self._link.peers()
        try:
            records = self._book.discover_peers(exclude_self=False, experiment=self._experiment)
        except StoreError as error:
            self.problem = f"who could be reached directly is not known: {error}"
            return
        found = {c.via: c for c in (*self._bootnodes, *_candidates(records, self._link.peer_id))}
        missing = [c for via, c in found.items() if via not in connected]
        if due := [c for c in missing if self._is_due(c)]:
            self._join(due)
            connected = self._link.peers()
        for via in connected & self._retries.keys():
            del self._retries[via]
        self.problem = self._describe([c for c in missing if c.via not in connected])

    def _join(self, due: Sequence[_Candidate]) -> None:
        """Probe candidates in this link's own order, and connect to those that are alive."""
        tried, room = list[_Candidate](), MAX_PROBED
        for candidate in sorted(due, key=self._own_order):
            if len(candidate.addresses) <= room:
                tried.append(candidate)
                room -= len(candidate.addresses)
        alive = probe([address for c in tried for address in c.addresses])
        living = [c for c in tried if alive.intersection(c.addresses)]
        if joined := living[:MAX_JOINED]:
            self._link.join([a for c in joined for a in c.addresses if a in alive], JOIN_S)
        now = self._clock()
        for candidate in tried:
            if candidate not in living[MAX_JOINED:]:
                self._retries[candidate.via] = _back_off(
                    self._retries.get(candidate.via, _Retry((), now, 0.0)), candidate.addresses, now
                )

    def _is_due(self, candidate: _Candidate) -> bool:
        known, now = self._retries.get(candidate.via), self._clock()
        if known is None or now >= known.until:
            return True
        return known.addresses != candidate.addresses and now >= known.until - known.last_s + RETRY_S

    def _own_order(self, candidate: _Candidate) -> bytes:
        """Each link has an order of its own, so that not all come to the same eight."""
        return hashlib.sha256(f"{self._link.peer_id} {candidate.via}".encode()).digest()

    def _describe(self, missing: Sequence[_Candidate]) -> str:
        said = []
        nodes = sorted({node for candidate in missing for node in candidate.nodes})
        if nodes:
            more = f" and {len(nodes) - _NAMED} more" if len(nodes) > _NAMED else ""
            said.append(
                f"no connection to {', '.join(nodes[:_NAMED])}{more}: their rollouts come through other peers, "
                "else files carry them"
            )
        ahead = self._link.clock_discrepancy()
        if ahead is not None and abs(ahead) > MOST_CLOCK_S:
            said.append(
                f"the peers' clocks differ from this machine's by {ahead:.1f} s; set it right, for values of a clock "
                "that is a day off are refused"
            )
        return "; ".join(said)


def _candidates(records: Iterable[PeerRecord], own: str) -> list[_Candidate]:
    """The links in records, each once; an address of another peer than the record's is a lie or an error.

    Of several records that name a link each has its turn, so that none fills the places of the others' addresses.
    """
    links: dict[str, list[PeerRecord]] = defaultdict(list)
    for record in records:
        if record.via not in {"", own}:
            links[record.via].append(record)
    found = []
    for via, named in links.items():
        in_turn = chain.from_iterable(zip_longest(*(record.multiaddrs for record in named), fillvalue=""))
        sound = [text for text in in_turn if (a := parse_multiaddr(text)) is not None and a.peer_id == via]
        addresses = tuple(dict.fromkeys(sound))[:MAX_MULTIADDRS]
        found.append(_Candidate(via, addresses, tuple(record.node for record in named)))
    return found


def _back_off(known: _Retry, addresses: tuple[str, ...], now: float) -> _Retry:
    last_s = known.last_s if known.addresses == addresses else 0.0
    seconds = min(RETRY_MOST_S, max(RETRY_S, 2 * last_s))
    return _Retry(addresses, now + seconds, seconds)
