"""The link's process: p2pd, hivemind's DHT node, and what its owner asks of them.

The node starts alone and is then connected to its peers: an address that leads nowhere, which would keep p2pd from
starting, costs a dial that runs beside the others.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import msgspec
from hivemind.dht.node import DHTNode
from hivemind.p2p import P2P
from hivemind.p2p.p2p_daemon_bindings.control import ControlClient, DaemonConnector

from swarm_ray.exchange.hivemind.cleanup import Cleanup, OwnedProcessLoop, key_file
from swarm_ray.exchange.hivemind.dht_node import NO_ANSWER, PartValidator, Peering, Values
from swarm_ray.exchange.hivemind.messages import (
    LENGTH_BYTES,
    SHOWN,
    Begin,
    Begun,
    Call,
    Clock,
    Get,
    Join,
    Peers,
    Put,
    Reply,
    Request,
    body_length,
    frame,
)

BLACKLIST_S = 5.0
"""How long a peer that did not answer is left alone; always as long, since peers come back."""
NOTHING = msgspec.Raw(msgspec.msgpack.encode(None))
UNABLE = (*NO_ANSWER, ValueError, RuntimeError, AssertionError)
"""What hivemind raises where p2pd or a peer fails."""


async def _start_daemon(begin: Begin, folder: Path, within_s: float) -> P2P:
    """Start p2pd without peers; it reads the key as it starts, and never again."""
    alone = begin.listen.startswith("127.")
    with key_file(begin.identity, folder) as identity:
        return await _daemon_in(folder).create(
            host_maddrs=[f"/ip4/{begin.listen}/tcp/{begin.port}"],
            announce_maddrs=[address.partition("/p2p/")[0] for address in begin.announce] or None,
            identity_path=identity,
            check_if_identity_free=False,  # it reads every key as RSA, and takes seconds
            nat_port_map=not alone,
            auto_nat=not alone,
            use_auto_relay=bool(begin.relays),
            trusted_relays=begin.relays or None,
            # p2pd would take minutes to find it out; by it, it looks for relays or is one.
            force_reachability="private" if begin.relays else "public" if begin.announce else None,
            startup_timeout=within_s,
        )


def _daemon_in(folder: Path) -> type[P2P]:
    """A p2pd whose sockets lie in a folder that nobody else can read, and that goes with it."""

    class Daemon(P2P):
        _UNIX_SOCKET_PREFIX = f"/unix{folder}/"

    return Daemon


class Service:
    """Answers the owner's requests, each in a task of its own."""

    def __init__(self, sock: socket.socket, folder: Path, loop: OwnedProcessLoop) -> None:
        self._socket, self._folder, self._loop = sock, folder, loop
        self._node: tuple[Values, Peering] | None = None

    async def run(self) -> None:
        """Answer until the owner closes the socket; an unexpected error ends the process, and the owner notices."""
        reader, writer = await asyncio.open_connection(sock=self._socket)
        try:
            async with asyncio.TaskGroup() as answers:
                while True:
                    size = body_length(await reader.readexactly(LENGTH_BYTES))
                    request = msgspec.msgpack.decode(await reader.readexactly(size), type=Request)
                    answers.create_task(self._answer(request, writer))
        except* (asyncio.IncompleteReadError, ConnectionError):
            pass  # closed

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        within_s = max(0.0, request.deadline - time.monotonic())
        try:
            async with asyncio.timeout(within_s):
                value = await self._do(request.call, within_s)
            reply = Reply(request.number, msgspec.Raw(msgspec.msgpack.encode(value)))
        except TimeoutError:
            reply = Reply(request.number, NOTHING, f"it took longer than {within_s:.1f} s")
        except UNABLE as error:
            # In one line, for some of its words may be a peer's.
            text = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
            reply = Reply(request.number, NOTHING, (text or type(error).__name__)[:SHOWN])
        writer.write(frame(reply))
        await writer.drain()

    async def _do(self, call: Call, within_s: float) -> Any:
        """Do what a call asks for; the first is `Begin`."""
        if isinstance(call, Begin):
            return await self._begin(call, within_s)
        assert self._node is not None
        values, peering = self._node
        match call:
            case Put():
                return await values.put(call, within_s)
            case Get():
                return await values.get(call)
            case Join():
                return await peering.join(call.multiaddrs, within_s)
            case Peers():
                return await peering.connected()
            case Clock():
                return await peering.clock_discrepancy()

    async def _begin(self, begin: Begin, within_s: float) -> Begun:
        """Start p2pd and hivemind's node."""
        validator = PartValidator()
        node = await DHTNode.create(
            p2p=await _start_daemon(begin, self._folder, within_s),
            record_validator=validator,
            wait_timeout=begin.rpc_s,
            blacklist_time=BLACKLIST_S,
            backoff_rate=1.0,
            reuse_get_requests=False,  # its table of requests grows by every key
            cache_locally=False,  # a link fetches a value once
            cache_nearest=0,
            cache_on_store=False,
        )
        peering = Peering(
            node,
            await ControlClient.create(
                DaemonConnector(node.p2p.daemon_listen_maddr), use_persistent_conn=False
            ),
        )
        self._node = Values(node, validator), peering
        assert self._loop.daemon is not None
        self._loop.serves = True
        return Begun(node.peer_id.to_base58(), await peering.multiaddrs(), self._loop.daemon)


def main(descriptor: int, owner: int, folder: str) -> None:
    """Serve the owner until it closes the socket or has gone.

    Args:
        descriptor: our end of the socket.
        owner: the owner's process id.
        folder: an empty one of our own, which goes with us.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    loop = OwnedProcessLoop()
    cleanup = Cleanup(loop, Path(folder))
    cleanup.watch(owner)
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(Service(socket.socket(fileno=descriptor), Path(folder), loop).run())
    finally:
        cleanup.clear()
    os._exit(0)  # nothing is left that would have to be waited for
