"""Addresses of peers: read strictly, and tried all at once before any of them reaches p2pd.

One that is malformed keeps p2pd from starting, and one that leads nowhere costs it 5 s. Needs no hivemind.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from swarm_ray.config.schema import DirectConfig
from swarm_ray.errors import ConfigError
from swarm_ray.identity.keys import is_peer_id
from swarm_ray.records.nodes import Reachable

PROBE_S = 1.0
MAX_PROBED = 64
"""So many addresses are tried at once."""
_LONGEST = 256
_GREETING = b"\x13/multistream/1.0.0\n"
"""What a libp2p node sends first on every connection (https://github.com/multiformats/multistream-select)."""
_CLOSED_IN = ("COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE")
_FORM = re.compile(
    r"/(ip4|ip6|dns|dns4|dns6)/([^/]+)/tcp/([1-9][0-9]{0,4})/p2p/([^/]+)(?:/p2p-circuit/p2p/([^/]+))?"
)
_NAME = re.compile(r"(?=.{1,253}\Z)[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9-]{1,63})*")


@dataclass(frozen=True)
class Multiaddr:
    """An address that can be dialled over TCP."""

    text: str
    host: str
    """An IP address or a name."""
    port: int
    dialled: str
    """The peer id of who answers there: the peer itself, or its relay."""
    peer_id: str
    """Of the peer that is reached."""


def parse_multiaddr(text: str) -> Multiaddr | None:
    """Read `/ip4|ip6|dns|dns4|dns6/<host>/tcp/<port>/p2p/<id>`, which may end with `/p2p-circuit/p2p/<id>`.

    Returns:
        None for anything else: a peer may have written it.
    """
    form = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
    if form is None:
        return None
    kind, host, port, dialled, beyond = form.groups()
    found = Multiaddr(text, host, int(port), dialled, beyond or dialled)
    sound = _is_host(kind, host) and found.port < 65536 and is_peer_id(dialled) and is_peer_id(found.peer_id)
    return found if sound else None


def read_bootnodes(direct: DirectConfig) -> list[Multiaddr]:
    """The peers to start with.

    Raises:
        ConfigError: an address is malformed, or no peer is named to relay.
    """
    found = []
    for text in direct.bootnodes:
        address = parse_multiaddr(text)
        if address is None:
            raise ConfigError(
                f"direct.bootnodes: {text!r} is not a peer's address; an address looks like "
                "/ip4/203.0.113.7/tcp/4001/p2p/12D3KooW..."
            )
        found.append(address)
    if direct.relay and not found:
        raise ConfigError("direct.relay: no peer can relay; name a public one in direct.bootnodes")
    return found


def probe(addresses: Collection[str], within_s: float = PROBE_S) -> set[str]:
    """Try addresses side by side: who takes the connection and greets as libp2p does is alive.

    Args:
        addresses: multiaddrs; malformed ones are skipped, and at most `MAX_PROBED` are tried.
        within_s: what has not answered by then does not count.

    Returns:
        Those that answered. Whether the right peer is there is p2pd's business, which checks its key.
    """
    parsed = [found for text in dict.fromkeys(addresses) if (found := parse_multiaddr(text)) is not None]
    alive: set[str] = set()
    deadline = time.monotonic() + within_s

    def ask(address: Multiaddr) -> None:
        if _greets(address, deadline):
            alive.add(address.text)

    # Daemon threads: one that waits for a name to be resolved is left behind.
    threads = [threading.Thread(target=ask, args=(one,), daemon=True) for one in parsed[:MAX_PROBED]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return set(alive)


def reach_of(multiaddrs: Sequence[str], *, nat: bool = False) -> Reachable:
    """From where a link can be dialled, by its addresses alone.

    Args:
        multiaddrs: those that it announces.
        nat: the machine is known to lie behind a NAT that lets nothing in, as a VM of Colab does.

    Returns:
        public: one is a name or lies in the public internet. local: all lie in a private network or on this machine,
        and peers there reach it. nat: the same without peers there, or through a relay. none: it has no
        address.
    """
    parsed = [found for text in multiaddrs if (found := parse_multiaddr(text)) is not None]
    if not parsed:
        return "none"
    direct = [found for found in parsed if found.dialled == found.peer_id]
    if any(_is_public(found.host) for found in direct):
        return "public"
    return "nat" if nat or not direct else "local"


def is_hosted_notebook() -> bool:
    """Whether this is a rented notebook's machine, which nobody can dial from outside: Colab's or Kaggle's."""
    return any(name in os.environ for name in _CLOSED_IN)


def _is_host(kind: str, host: str) -> bool:
    """Whether it can be dialled at all: no name for "every address" and no broadcast can."""
    if kind.startswith("dns"):
        return _NAME.fullmatch(host) is not None
    try:
        address = ipaddress.IPv4Address(host) if kind == "ip4" else ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return not (address.is_unspecified or address.is_multicast or address.is_reserved or "%" in host)


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return host != "localhost"


def _greets(address: Multiaddr, deadline: float) -> bool:
    try:
        left = deadline - time.monotonic()
        with socket.create_connection((address.host, address.port), max(0.01, left)) as sock:
            heard = b""
            while len(heard) < len(_GREETING) and (left := deadline - time.monotonic()) > 0:
                sock.settimeout(left)
                more = sock.recv(len(_GREETING) - len(heard))
                if not more or not _GREETING.startswith(heard := heard + more):
                    return False
            return heard == _GREETING
    except (OSError, UnicodeError):
        return False
