"""Records in a folder, and what listens on sockets of this machine."""

import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

import msgspec

from drive_store import DISCOVERY, DiscoveryFolder, Store
from swarm_ray.identity.keys import peer_id_of_ed25519
from swarm_ray.records.nodes import PeerRecord

LIFE, LATER = "0123abcd", "4567abcd"
GREETING = b"\x13/multistream/1.0.0\n"


def new_root(folder: Path) -> Store:
    """A root as a coordinator leaves it, with a space in its path."""
    store = Store(str(folder / "My Drive"))
    store.make_folder(DISCOVERY)
    return store


def peer_id(number: int) -> str:
    """A peer id that nobody has the key of."""
    return peer_id_of_ed25519(number.to_bytes(32, "big"))


def address(port: int, peer: str, host: str = "127.0.0.1") -> str:
    """A multiaddr of this machine."""
    return f"/ip4/{host}/tcp/{port}/p2p/{peer}"


def say(store: Store, node: str, count: int = 1, life: str = LIFE, **fields: object) -> PeerRecord:
    """Write a record as its node does."""
    record = PeerRecord(node, life, **{"experiment": "tea", "count": count, **fields})  # type: ignore[arg-type]
    write(store, record)
    return record


def write(store: Store, record: PeerRecord) -> None:
    """Write a record."""
    payload = msgspec.json.encode(record)
    DiscoveryFolder(store).write(record.experiment, record.node, record.incarnation, record.count, payload)


class Clock:
    """Seconds that pass when told so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Listener:
    """Accepts connections on a port of this machine and says the same to all; counts them.

    Args:
        says: bytes; None says nothing and keeps the connection open.
    """

    def __init__(self, says: bytes | None = GREETING) -> None:
        self._says, self.heard = says, 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # wakes the thread
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for one in self._open:
            one.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                one, _ = self._socket.accept()
                self.heard += 1
                if self._says is None:
                    self._open.append(one)
                    continue
                with one, suppress(OSError):
                    one.sendall(self._says)


def refused_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])
