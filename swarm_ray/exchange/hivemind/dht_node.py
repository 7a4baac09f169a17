"""What the link's process does with hivemind's DHT node: store and find parts of values, connect to peers."""

from __future__ import annotations

import asyncio
import statistics
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any

import msgspec
from google.protobuf.message import DecodeError
from hivemind.dht.node import DHTNode
from hivemind.dht.protocol import DHTProtocol
from hivemind.dht.routing import DHTID
from hivemind.dht.validation import DHTRecord, RecordValidatorBase
from hivemind.p2p import PeerID
from hivemind.p2p.p2p_daemon_bindings.control import ControlClient
from hivemind.p2p.p2p_daemon_bindings.utils import P2PDaemonError, P2PHandlerError
from hivemind.proto import dht_pb2
from hivemind.utils.multiaddr import Multiaddr
from hivemind.utils.multiaddr.exceptions import Error as MultiaddrError
from hivemind.utils.timed_storage import get_dht_time

from swarm_ray.exchange.hivemind.messages import Connected, Get, Put
from swarm_ray.exchange.hivemind.storage import ExpectedPart, PartStorage, decode_part

PUSH_S = 1.0
"""How long a value's owner waits for the peers that it pushes it to; they can have it from him meanwhile."""
PUSHED_AT_ONCE, SOUGHT_AT_ONCE = 4, 8
"""Parts on their way at the same time; a peer that does not answer holds up one of them for seconds."""
ASKED_AT_ONCE = 1
"""Each peer that is asked and has a part sends it, and one copy is enough."""
PAUSES_S = (0.0, 0.2, 0.2)
"""Before each try: a peer that was just met may not be found at once."""
MOST_EXPIRES_S = 86_400.0


class PartValidator(RecordValidatorBase):
    """Passes parts of values alone and, of those that are just sought, such as may be the right ones.

    hivemind asks it when a peer stores something here and when one answers a search, which continues past what is
    refused.
    """

    def __init__(self) -> None:
        self.sought: dict[bytes, ExpectedPart] = {}

    def validate(self, record: DHTRecord) -> bool:
        """Whether to take it."""
        if record.subkey != DHTProtocol.IS_REGULAR_VALUE:
            return False
        if not record.expiration_time <= get_dht_time() + MOST_EXPIRES_S:  # so that NaN is refused
            return False
        sought = self.sought.get(record.key)
        if sought is not None:
            return sought.fits(record.value)
        return decode_part(record.value) is not None


class Values:
    """The node's values.

    Args:
        node: hivemind's node, made with the validator; its storage is taken over.
        validator: told what is sought.
    """

    def __init__(self, node: DHTNode, validator: PartValidator) -> None:
        self._node, self._validator = node, validator
        self._holding = PartStorage()
        node.protocol.storage = node.protocol.cache = self._holding
        node.protocol.call_find = _parts_alone(node.protocol.call_find)
        self._pushing, self._seeking = asyncio.Semaphore(PUSHED_AT_ONCE), asyncio.Semaphore(SOUGHT_AT_ONCE)
        self._pushes: set[asyncio.Task[None]] = set()

    async def put(self, put: Put, within_s: float) -> None:
        """Keep the parts, and push them to the peers nearest to their keys."""
        expiration, pushes = get_dht_time() + put.expires_s, set[asyncio.Task[None]]()
        for key, part in zip(put.keys, put.parts, strict=True):
            self._holding.own.store(DHTID.generate(key), msgspec.msgpack.encode(part), expiration)
            push = asyncio.create_task(self._push(key, part, expiration))
            push.add_done_callback(self._pushes.discard)
            pushes.add(push)
        self._pushes |= pushes  # so that those that outlast this call are not lost
        await asyncio.wait(pushes, timeout=min(PUSH_S, within_s / 2))

    async def get(self, get: Get) -> tuple[bytes, ...] | None:
        """The parts; None where one of them was not found."""
        sought = [
            (key, ExpectedPart(size, get.sha256)) for key, size in zip(get.keys, get.sizes, strict=True)
        ]
        found = await asyncio.gather(*(self._find(key, part) for key, part in sought))
        parts = tuple(part for part in found if part is not None)
        return parts if len(parts) == len(found) else None

    async def _push(self, key: bytes, part: bytes, expiration: float) -> None:
        async with self._pushing:
            await self._node.store(key, part, expiration)

    async def _find(self, key: bytes, sought: ExpectedPart) -> bytes | None:
        """One part: from what is held here, else from the peers, passing over what does not fit."""
        place = DHTID.generate(key)
        held = self._holding.get(place)
        if held is not None and sought.fits(held.value):
            return decode_part(held.value)
        self._holding.of_peers.drop(place)
        self._validator.sought[place.to_bytes()] = sought
        try:
            for pause_s in PAUSES_S:
                await asyncio.sleep(pause_s)
                async with self._seeking:
                    found = await self._node.get(key, num_workers=ASKED_AT_ONCE)
                if found is not None:
                    return found.value if isinstance(found.value, bytes) else None
            return None
        finally:
            self._validator.sought.pop(place.to_bytes(), None)


def _parts_alone(call_find: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """A search that takes dictionaries for nothing: an empty one needs no validation, and would end every search."""

    async def find(peer: PeerID, keys: Collection[DHTID]) -> Any:
        found = await call_find(peer, keys)
        if found is None:
            return None
        return {
            key: (value if value is not None and isinstance(value.value, bytes) else None, nearest)
            for key, (value, nearest) in found.items()
        }

    return find


CONNECT_S = 3.0
"""How long one peer may take to be met; the others are met at the same time."""
MOST_ASKED, ASK_S = 8, 1.0
"""Peers that are asked for the time, and how long they may take."""
NO_ANSWER = (P2PDaemonError, P2PHandlerError, DecodeError, OSError, EOFError, TimeoutError)
"""Raised where a peer is silent or answers nonsense."""


class Peering:
    """The node's peers.

    Args:
        node: hivemind's node.
        control: a client of the node's p2pd.
    """

    def __init__(self, node: DHTNode, control: ControlClient) -> None:
        self._node, self._control = node, control

    async def join(self, multiaddrs: Iterable[str], within_s: float) -> int:
        """Meet the peers at these addresses; how many answered."""
        each_s = min(CONNECT_S, within_s / 2)
        found = _by_peer(multiaddrs)
        found.pop(self._node.peer_id, None)
        met = await asyncio.gather(*(self._meet(peer, found[peer], each_s) for peer in found))
        if any(met):
            search = self._node.find_nearest_nodes([self._node.node_id])  # finds their peers as well
            await asyncio.wait({asyncio.create_task(search)}, timeout=within_s / 4)
        return sum(met)

    async def connected(self) -> Connected:
        """Who is connected, and where this node can be dialled by now."""
        peers = [peer.peer_id.to_base58() for peer in await self._node.p2p.list_peers()]
        return Connected(tuple(peers), await self.multiaddrs())

    async def multiaddrs(self) -> tuple[str, ...]:
        """Where this node can be dialled; none where it listens nowhere."""
        own, addresses = await self._control.identify()
        return tuple(f"{address}/p2p/{own.to_base58()}" for address in addresses)

    async def clock_discrepancy(self) -> float | None:
        """By how many seconds the peers' clocks are ahead of this one, at the median; None where none answered."""
        peers = (await self._node.p2p.list_peers())[:MOST_ASKED]
        answers = await asyncio.gather(*(self._ahead(peer.peer_id) for peer in peers))
        found = [seconds for seconds in answers if seconds is not None]
        return float(statistics.median(found)) if found else None

    async def _meet(self, peer: PeerID, addresses: list[Multiaddr], within_s: float) -> bool:
        """Connect, and make it a neighbour in the DHT."""
        try:
            async with asyncio.timeout(within_s):
                await self._control.connect(peer, addresses)
                return await self._node.protocol.call_ping(peer) is not None
        except NO_ANSWER:
            return False

    async def _ahead(self, peer: PeerID) -> float | None:
        ask = dht_pb2.PingRequest(peer=self._node.protocol.node_info, validate=False)
        asked = float(get_dht_time())
        try:
            answer = await self._node.protocol.get_stub(peer).rpc_ping(ask, timeout=ASK_S)
        except NO_ANSWER:
            return None
        return float(answer.dht_time) - (asked + float(get_dht_time())) / 2


def _by_peer(multiaddrs: Iterable[str]) -> dict[PeerID, list[Multiaddr]]:
    """Addresses by peer; malformed ones are left out."""
    found: dict[PeerID, list[Multiaddr]] = defaultdict(list)
    for text in multiaddrs:
        address, _, peer = text.rpartition("/p2p/")  # the last one: a relay's may stand before it
        try:
            found[PeerID.from_base58(peer)].append(Multiaddr(address))
        except (ValueError, MultiaddrError):
            continue
    return found
