"""Takes connections as libp2p does, answers every ping of the DHT with bytes that are no answer, and stays."""

import asyncio
import sys
from typing import Any

from hivemind.p2p import P2P
from hivemind.proto import dht_pb2


class Garbage:
    """What hivemind sends as if it were a message."""

    def SerializeToString(self) -> bytes:
        return b"\xff" * 20


async def answer(_request: Any, _context: Any) -> Any:
    return Garbage()


async def garble() -> None:
    p2p = await P2P.create(host_maddrs=["/ip4/127.0.0.1/tcp/0"], auto_nat=False, nat_port_map=False)
    await p2p.add_protobuf_handler("DHTProtocol.rpc_ping", answer, dht_pb2.PingRequest)
    [own] = await p2p.get_visible_maddrs()
    sys.stdout.write(f"{own}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await p2p.shutdown()


asyncio.run(garble())
