"""Joins a DHT with hivemind's own node, stores lies under keys at all who take them and at itself, and stays."""

import asyncio
import pickle
import sys
from typing import Any

from hivemind.dht.node import DHTNode
from hivemind.dht.routing import DHTID
from hivemind.dht.storage import DictionaryDHTValue
from hivemind.utils.timed_storage import ValueWithExpiration, get_dht_time

LIES: dict[str, Any] = {
    "bytes": b"another value",
    "map": {"a": 1},
    "subkeys": b"under a subkey",
    "pickle": pickle.dumps(print),
    "large": bytes(2_000_000),
}


async def lie(multiaddr: str, places: list[str]) -> None:
    """Store them so that they expire last, answer an empty map under the last place, and say where this node is."""
    node = await DHTNode.create(initial_peers=[multiaddr], cache_nearest=0)
    _answer_nothing_under(node, bytes.fromhex(places.pop()))
    for what, place in zip(LIES, places, strict=True):
        subkey = "a" if what == "subkeys" else None
        await node.store(bytes.fromhex(place), LIES[what], get_dht_time() + 7200.0, subkey=subkey)
    [own] = await node.p2p.get_visible_maddrs()
    sys.stdout.write(f"{own}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await node.shutdown()


def _answer_nothing_under(node: DHTNode, place: bytes) -> None:
    empty, get = DHTID.generate(place), node.protocol.storage.get

    def answer(key: DHTID) -> Any:
        return (
            ValueWithExpiration(DictionaryDHTValue(), get_dht_time() + 7200.0) if key == empty else get(key)
        )

    node.protocol.storage.get = answer


asyncio.run(lie(sys.argv[1], sys.argv[2:]))
