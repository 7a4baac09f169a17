"""A direct link to the other nodes: values stored and fetched through hivemind's DHT, within deadlines."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from msgspec.msgpack import Decoder

from swarm_ray.config.schema import DirectConfig
from swarm_ray.errors import LinkError
from swarm_ray.exchange.hivemind import require_hivemind
from swarm_ray.exchange.hivemind.link_client import LinkClient
from swarm_ray.exchange.hivemind.messages import (
    Begin,
    Begun,
    Call,
    Clock,
    Connected,
    Get,
    Join,
    Peers,
    Put,
    cut,
    join_parts,
    part_keys,
    part_sizes,
)
from swarm_ray.identity.keys import MAX_KEY

T = TypeVar("T")

EXPIRES_S = 3600.0
"""How long the DHT keeps a value; by then its round is long closed, or the folder carries it."""
MOST_CLOCK_S = 3.0
"""Clocks that differ by more are a problem: hivemind's own nodes refuse such a peer."""
PEERS_S = 5.0
PARTS: Decoder[tuple[bytes, ...] | None] = Decoder(tuple[bytes, ...] | None)
SECONDS: Decoder[float | None] = Decoder(float | None)
NUMBER, NONE, BEGUN, CONNECTED = Decoder(int), Decoder(None), Decoder(Begun), Decoder(Connected)


class DhtLink:
    """One node of hivemind's DHT, in a process of its own. Nothing is started yet; once it is, threads may share it.

    Every call ends within its time, with a value or a `LinkError`, whatever happens to the process, to p2pd, or to the
    peers.

    Args:
        identity: file with the node's key, as libp2p writes it (`swarm_ray.identity`); None takes a key for this once.
        direct: where to listen, whom to start with, how long things may take.
        initial: multiaddrs of peers to start with, `/p2p/...` included, beside `direct.bootnodes`.
    """

    def __init__(self, identity: Path | None, direct: DirectConfig, initial: Sequence[str] = ()) -> None:
        self._identity, self._direct = identity, direct
        self._initial = (*direct.bootnodes, *initial)
        self._process: LinkClient | None = None
        self.peer_id = ""
        """Known once it was started, and kept."""
        self.multiaddrs: tuple[str, ...] = ()
        """Where others can dial it, `/p2p/...` included."""

    @property
    def alive(self) -> bool:
        """Whether the process and p2pd live."""
        return self._process is not None and self._process.alive

    def start(self) -> None:
        """Start it, and connect to the initial peers that are alive; harmless when it runs.

        One whose process has died starts again, with nothing stored. Peers that do not answer make no difference.

        Raises:
            UserError: hivemind is not installed.
            LinkError: it did not start within `direct.start_s`.
        """
        if self.alive:
            return
        require_hivemind()
        self.close()
        deadline = time.monotonic() + self._direct.start_s
        try:
            identity = None if self._identity is None else _read_identity(self._identity)
            _require_free(self._direct.listen, self._direct.port)
            self._process = LinkClient()
            self._begin(self._process, identity)
        except LinkError as error:
            self.close()
            raise LinkError(f"the direct link does not start: {error}") from error
        if self._initial:
            self.join(self._initial, max(1.0, deadline - time.monotonic()))

    def put(self, key: str, value: bytes, within_s: float, *, expires_s: float = EXPIRES_S) -> int:
        """Store a value: it is kept here, and pushed to those peers nearest to its key that take it.

        Args:
            key: names the value; with the value's hash it must be unlike all others of the DHT.
            value: at most `parts.MAX_VALUE` bytes.
            within_s: how long it may take.
            expires_s: how long it is kept, here and there.

        Returns:
            The number of parts it was cut into.

        Raises:
            LinkError: it is too large, or was not stored in time.
        """
        parts = cut(key, value)
        put = Put(part_keys(key, hashlib.sha256(value).hexdigest(), len(parts)), parts, expires_s)
        self._carry(key, put, NONE, within_s)
        return len(parts)

    def get(self, key: str, parts: int, size: int, sha256: str, within_s: float) -> bytes:
        """Fetch a value that a peer stored.

        Args:
            key: as it was stored.
            parts: the number of parts it was cut into.
            size: bytes of the whole value.
            sha256: of the whole value, in hex.
            within_s: how long it may take.

        Raises:
            LinkError: nobody has it, it did not arrive in time, or what arrived is something else.
        """
        sizes = part_sizes(key, parts, size)
        wanted = Get(part_keys(key, sha256, parts), sizes, sha256 if parts == 1 else "")
        found = self._carry(key, wanted, PARTS, within_s)
        if found is None:
            raise LinkError(f"{key}: nobody who answers has it")
        return join_parts(key, found, sizes, sha256)

    def join(self, multiaddrs: Sequence[str], within_s: float) -> int:
        """Connect to more peers; two DHTs become one by it.

        Returns:
            How many peers answered; silent ones and malformed addresses are skipped.

        Raises:
            LinkError: the link itself does not answer.
        """
        return self._running().call(Join(tuple(multiaddrs)), NUMBER, within_s)

    def peers(self) -> set[str]:
        """The peer ids that are connected now; this updates `multiaddrs` too.

        Raises:
            LinkError: the link itself does not answer.
        """
        found = self._running().call(Peers(), CONNECTED, PEERS_S)
        self.multiaddrs = found.multiaddrs
        return set(found.peers)

    def clock_discrepancy(self) -> float | None:
        """By how many seconds the clocks of the peers are ahead of this machine's, at the median; None without peers.

        Raises:
            LinkError: the link itself does not answer.
        """
        return self._running().call(Clock(), SECONDS, PEERS_S)

    def close(self) -> None:
        """End the process and p2pd; harmless when repeated."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def _begin(self, process: LinkClient, identity: bytes | None) -> None:
        direct = self._direct
        begun = process.call(
            Begin(
                identity,
                direct.listen,
                direct.port,
                direct.announce,
                direct.bootnodes if direct.relay else (),
                max(1.0, direct.value_s / 3),
            ),
            BEGUN,
            direct.start_s,
        )
        process.own(begun.daemon)
        self.peer_id, self.multiaddrs = begun.peer_id, begun.multiaddrs

    def _carry(self, key: str, call: Call, answer: Decoder[T], within_s: float) -> T:
        """A call about a value, which an error names."""
        try:
            return self._running().call(call, answer, within_s)
        except LinkError as error:
            raise LinkError(f"{key}: {error}") from error

    def _running(self) -> LinkClient:
        process = self._process  # another thread may close the link meanwhile
        if process is None:
            raise LinkError("the direct link was not started, or was closed")
        return process


def _require_free(listen: str, port: int) -> None:
    """Refuse a port that is taken: p2pd would share it, and get every other connection."""
    if port == 0:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what hangs in TIME_WAIT is free
        try:
            probe.bind((listen, port))
        except OSError as error:
            raise LinkError(
                f"it cannot listen on {listen}:{port} ({error.strerror}); direct.port=0 takes a free port"
            ) from error


def _read_identity(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_KEY)
    except OSError as error:
        raise LinkError(f"the identity {path} cannot be read ({error.strerror})") from error
