"""Real links on this machine alone, the processes behind them, and a peer that does as it likes."""

import hashlib
import subprocess
import sys
from pathlib import Path

import psutil

from swarm_ray.config.schema import DirectConfig
from swarm_ray.errors import LinkError
from swarm_ray.exchange.hivemind.link import DhtLink
from swarm_ray.exchange.hivemind.messages import part_keys

HERE = DirectConfig(listen="127.0.0.1", start_s=60.0)
"""Longer than anything takes on a busy machine; what waits for less says so."""
LONG_S = 30.0
SHORT_S = 0.5
GONE_WITHIN_S = 15.0
STRANGER = "12D3KooWGRUACsVL3YhmjXcZ8kG5Sf9M4PEzkWYxQ1eVkAHvEwfz"


def started(*initial: str) -> DhtLink:
    """A link that listens on this machine alone."""
    link = DhtLink(None, HERE, initial)
    link.start()
    return link


def value_of(size: int, seed: str = "") -> bytes:
    """So many bytes that are like no others."""
    return hashlib.shake_128(f"{size} {seed}".encode()).digest(size)


def sha256(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()


def fetch(link: DhtLink, key: str, value: bytes, within_s: float = LONG_S) -> bytes:
    """What a link finds of a value, by what its receipt says."""
    parts = max(1, -(-len(value) // 1_000_000))
    return link.get(key, parts, len(value), sha256(value), within_s)


def process_of(link: DhtLink) -> psutil.Process:
    """The process in which the node runs."""
    assert link._process is not None
    return psutil.Process(link._process._process.pid)


def daemon_of(link: DhtLink) -> psutil.Process:
    """The node's p2pd."""
    return next(child for child in process_of(link).children() if child.name() == "p2pd")


def all_gone(*processes: psutil.Process) -> bool:
    """Whether these processes end within a while."""
    _, alive = psutil.wait_procs(processes, timeout=GONE_WITHIN_S)
    return not alive


class Program:
    """A peer in a process of its own, which says where it is and stays until it is closed."""

    def __init__(self, name: str, *words: str) -> None:
        program = Path(__file__).with_name(f"{name}_for_tests.py")
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(program), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.multiaddr = self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.communicate()


def liar(multiaddr: str, values: dict[str, bytes]) -> Program:
    """A peer with hivemind's own node that holds lies under the keys of values.

    Args:
        multiaddr: whom to join.
        values: by key, the values that are rightly there, each of one part.
    """
    places = [part_keys(key, sha256(value), 1)[0].hex() for key, value in values.items()]
    return Program("liar", multiaddr, *places)


class Deaf:
    """A link whose node can be heard, and fetches nothing: behind a firewall, say.

    Args:
        link: the real one.
    """

    def __init__(self, link: DhtLink) -> None:
        self._link = link
        self.deaf = True

    @property
    def alive(self) -> bool:
        return self._link.alive

    def put(self, key: str, value: bytes, within_s: float) -> int:
        return self._link.put(key, value, within_s)

    def get(self, key: str, parts: int, size: int, sha256: str, within_s: float) -> bytes:
        if self.deaf:
            raise LinkError("nobody answers")
        return self._link.get(key, parts, size, sha256, within_s)

    def peers(self) -> set[str]:
        return self._link.peers()

    def close(self) -> None:
        self._link.close()
