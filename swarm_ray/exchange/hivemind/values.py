"""Storing and finding parts of values, on top of hivemind's DHT node; within the link's process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import msgspec
from hivemind.dht.node import DHTNode
from hivemind.dht.routing import DHTID
from hivemind.p2p import PeerID
from hivemind.utils.timed_storage import get_dht_time

from swarm_ray.exchange.hivemind.gatekeeper import Gatekeeper
from swarm_ray.exchange.hivemind.holding import Holding, Sought, unpacked
from swarm_ray.exchange.hivemind.messages import Get, Put

PUSH_S = 1.0
"""How long a value's owner waits for the peers that it pushes it to; they can have it from him meanwhile."""
PUSHED_AT_ONCE, SOUGHT_AT_ONCE = 4, 8
"""Parts on their way at the same time; a peer that does not answer holds up one of them for seconds."""
ASKED_AT_ONCE = 1
"""Each peer that is asked and has a part sends it, and one copy is enough."""
TRIES, PAUSE_S = 3, 0.2
"""A peer that was just met may not be found at once."""


class Values:
    """The node's values.

    Args:
        node: hivemind's node, made with the gatekeeper; its storage is taken over.
        gatekeeper: told what is sought.
    """

    def __init__(self, node: DHTNode, gatekeeper: Gatekeeper) -> None:
        self._node, self._gatekeeper = node, gatekeeper
        self._holding = Holding()
        node.protocol.storage = node.protocol.cache = self._holding
        node.protocol.call_find = _parts_alone(node.protocol.call_find)
        self._pushing, self._seeking = asyncio.Semaphore(PUSHED_AT_ONCE), asyncio.Semaphore(SOUGHT_AT_ONCE)
        self._pushes: set[asyncio.Task[None]] = set()

    async def put(self, put: Put, within_s: float) -> None:
        """Keep the parts, and push them to the peers nearest to their keys."""
        expiration = get_dht_time() + put.expires_s
        for key, part in zip(put.keys, put.parts, strict=True):
            self._holding.own.store(DHTID.generate(key), msgspec.msgpack.encode(part), expiration)
        pushes = {
            asyncio.create_task(self._push(key, part, expiration))
            for key, part in zip(put.keys, put.parts, strict=True)
        }
        self._pushes |= pushes  # so that those that outlast this call are not lost
        for push in pushes:
            push.add_done_callback(self._pushes.discard)
        await asyncio.wait(pushes, timeout=min(PUSH_S, within_s / 2))

    async def get(self, get: Get) -> tuple[bytes, ...] | None:
        """The parts; None where one of them was not found."""
        sought = [Sought(size, get.sha256) for size in get.sizes]
        finds = [self._find(key, part) for key, part in zip(get.keys, sought, strict=True)]
        found = await asyncio.gather(*finds)
        parts = tuple(part for part in found if part is not None)
        return parts if len(parts) == len(found) else None

    async def _push(self, key: bytes, part: bytes, expiration: float) -> None:
        async with self._pushing:
            await self._node.store(key, part, expiration)

    async def _find(self, key: bytes, sought: Sought) -> bytes | None:
        """One part: from what is held here, else from the peers, passing over what does not fit."""
        place = DHTID.generate(key)
        held = self._holding.get(place)
        if held is not None and sought.fits(held.value):
            return unpacked(held.value)
        self._holding.of_peers.drop(place)
        self._gatekeeper.sought[place.to_bytes()] = sought
        try:
            return await self._search(key)
        finally:
            self._gatekeeper.sought.pop(place.to_bytes(), None)

    async def _search(self, key: bytes) -> bytes | None:
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(PAUSE_S)
            async with self._seeking:
                found = await self._node.get(key, num_workers=ASKED_AT_ONCE)
            if found is not None:
                return found.value if isinstance(found.value, bytes) else None
        return None


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
