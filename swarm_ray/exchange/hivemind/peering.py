"""Connecting to peers and asking about them, on top of p2pd; within the link's process."""

from __future__ import annotations

import asyncio
import statistics
from collections import defaultdict
from collections.abc import Iterable

from google.protobuf.message import DecodeError
from hivemind.dht.node import DHTNode
from hivemind.p2p import PeerID
from hivemind.p2p.p2p_daemon_bindings.control import ControlClient, DaemonConnector
from hivemind.p2p.p2p_daemon_bindings.utils import P2PDaemonError, P2PHandlerError
from hivemind.proto import dht_pb2
from hivemind.utils.multiaddr import Multiaddr
from hivemind.utils.multiaddr.exceptions import Error as MultiaddrError
from hivemind.utils.timed_storage import get_dht_time

from swarm_ray.exchange.hivemind.messages import Connected

CONNECT_S = 3.0
"""How long one peer may take to be met; the others are met at the same time."""
MOST_ASKED, ASK_S = 8, 1.0
"""Peers that are asked for the time, and how long they may take."""
NO_ANSWER = (P2PDaemonError, P2PHandlerError, DecodeError, OSError, EOFError, TimeoutError)
"""What is raised where a peer is silent, or answers what is none."""


class Peering:
    """The node's peers.

    Args:
        node: hivemind's node.
        control: a client of the node's p2pd.
    """

    def __init__(self, node: DHTNode, control: ControlClient) -> None:
        self._node, self._control = node, control

    @classmethod
    async def of(cls, node: DHTNode) -> Peering:
        """The peers of a node."""
        connector = DaemonConnector(node.p2p.daemon_listen_maddr)
        return cls(node, await ControlClient.create(connector, use_persistent_conn=False))

    async def join(self, multiaddrs: Iterable[str], within_s: float) -> int:
        """Meet the peers at these addresses; how many answered."""
        each_s = min(CONNECT_S, within_s / 2)
        found = _by_peer(multiaddrs)
        found.pop(self._node.peer_id, None)
        met = await asyncio.gather(*(self._meet(peer, found[peer], each_s) for peer in found))
        if any(met):
            search = asyncio.create_task(self._node.find_nearest_nodes([self._node.node_id]))
            await asyncio.wait({search}, timeout=within_s / 4)  # and their peers by the way
        return sum(met)

    async def connected(self) -> Connected:
        """Who is connected, and where this node can be dialled by now."""
        peers = await self._node.p2p.list_peers()
        return Connected(tuple(peer.peer_id.to_base58() for peer in peers), await self.multiaddrs())

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
    """Addresses by peer; what is no address of a peer is left out."""
    found: dict[PeerID, list[Multiaddr]] = defaultdict(list)
    for text in multiaddrs:
        address, _, peer = text.rpartition("/p2p/")  # the last one: a relay's may stand before it
        try:
            found[PeerID.from_base58(peer)].append(Multiaddr(address))
        except (ValueError, MultiaddrError):
            continue
    return found
