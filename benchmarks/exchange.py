"""From one node's publication to all nodes having it: the folder, our direct link, and GenRL's own gather, in one run.

    python benchmarks/exchange.py [--quick] [--repeat N]

Every node is a process. One after the other publishes a value that cannot be compressed, and the time is taken from
there until the last of all has it, checked. The three ways take turns, so that a drifting machine harms none more than
another.
- folder: a round file on the local disk; the others look for it every `pace.poll_min_s`.
- direct: `DhtLink.put`, then `get` by the others; the receipt travels through this benchmark.
- GenRL: `HivemindBackend.all_gather_object`, in which all take part and the others give an empty value, from when the
  last has called it. It would neither load nor bear 20 KB as it is installed; it gets the two cures for that.
Carried is what went through files (folder) or through the loopback device (the others), as a multiple of the value; the
device is the whole machine's, and the median says it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import psutil

from drive_store import (
    ExperimentStore,
    Publication,
    Store,
    Valid,
    make_node_folders,
    payload_sha256,
    publish_round_file,
    read_round_file,
)
from drive_store.paths import ExperimentPaths
from swarm_ray.config.schema import DirectConfig, PaceConfig
from swarm_ray.exchange.hivemind.link import DhtLink

SIZES, NODES, REPEAT = (1_000, 10_000, 100_000, 1_000_000), (2, 4, 8), 7
WITHIN_S = 60.0
LIFE = "0a0b0c0d"
WARM = 10_000
"""Numbers from here on are publications that nobody counts; the first finds nothing connected."""


class Way(Protocol):
    """How values travel, as one node sees it."""

    address: str

    def publish(self, number: int, size: int) -> None:
        """Make a value known to the others."""

    def gather(self, number: int, size: int, publisher: int, /) -> None:
        """Return when the value is here."""


def value_of(number: int, size: int) -> bytes:
    """What is published at that time."""
    return hashlib.shake_128(f"{number} {size}".encode()).digest(size)


class Folder:
    """Round files in a folder."""

    address = ""

    def __init__(self, rank: int, root: str) -> None:
        self._store, self._paths, self._node = Store(root), ExperimentPaths("exchange"), f"node-{rank}"
        self._poll_s = PaceConfig().poll_min_s
        make_node_folders(ExperimentStore(self._store, self._paths), self._node, LIFE)

    def publish(self, number: int, size: int) -> None:
        """Write it."""
        payload = value_of(number, size)
        publish_round_file(
            ExperimentStore(self._store, self._paths),
            Publication(node=self._node, incarnation=LIFE, round=number, stage=0, payload=payload),
        )

    def gather(self, number: int, size: int, publisher: int) -> None:
        """Look for it until it is there."""
        node, sha256 = f"node-{publisher}", payload_sha256(value_of(number, size))
        key = self._paths.round_file(node, LIFE, number, 0, 0, sha256)
        while not self._reads(key, node, sha256, size):
            time.sleep(self._poll_s)

    def _reads(self, key: str, node: str, sha256: str, size: int) -> bool:
        reading = read_round_file(
            ExperimentStore(self._store, self._paths),
            key,
            node=node,
            incarnation=LIFE,
            sha256=sha256,
            max_payload=size,
        )
        return isinstance(reading, Valid)


class Direct:
    """Our link."""

    def __init__(self, initial: list[str]) -> None:
        self._link = DhtLink(None, DirectConfig(listen="127.0.0.1", start_s=WITHIN_S), initial)
        self._link.start()
        self.address = self._link.multiaddrs[0]

    def publish(self, number: int, size: int) -> None:
        """Put it."""
        self._link.put(f"exchange/{number}", value_of(number, size), WITHIN_S)

    def gather(self, number: int, size: int, _: int) -> None:
        """Get it, knowing what a receipt says."""
        sha256 = hashlib.sha256(value_of(number, size)).hexdigest()
        self._link.get(f"exchange/{number}", -(-size // 1_000_000), size, sha256, WITHIN_S)


async def mend_pipe(dht: Any, _: Any) -> None:
    """Cure of hivemind: a message above 16 KiB comes in pieces, and the child's end of the pipe must wait for them."""
    os.set_blocking(dht._inner_pipe.fileno(), True)  # noqa: SLF001


class GenRL:
    """GenRL's back end."""

    def __init__(self, initial: list[str], nodes: int) -> None:
        import exchange  # this file: what runs in hivemind's child must have a module that can be imported
        import hivemind
        from hivemind.utils import get_dht_time

        hivemind.get_dht_time = get_dht_time  # cure of GenRL: it looks for it where hivemind has it no more
        from genrl.communication.hivemind.hivemind_backend import HivemindBackend, HivemindRendezvouz

        os.environ["HIVEMIND_WORLD_SIZE"] = str(nodes)
        HivemindRendezvouz.init(is_master=not initial)
        self._backend = HivemindBackend(
            initial or None, timeout=WITHIN_S, beam_size=50, startup_timeout=WITHIN_S
        )
        self._backend.dht.run_coroutine(exchange.mend_pipe)
        self.address = str(self._backend.dht.get_visible_maddrs()[0])

    def publish(self, number: int, size: int) -> None:
        """Take part with a value."""
        self._gather(number, size, value_of(number, size))

    def gather(self, number: int, size: int, _: int) -> None:
        """Take part without one."""
        self._gather(number, size, b"")

    def _gather(self, number: int, size: int, own: bytes) -> None:
        self._backend.step_ = number
        assert value_of(number, size) in self._backend.all_gather_object(own).values()


def work(way: str, rank: int, nodes: int, root: str, initial: list[str]) -> None:
    """One node: do what the standard input says, and tell when it began and ended."""
    made: dict[str, Any] = {
        "folder": lambda: Folder(rank, root),
        "direct": lambda: Direct(initial),
        "GenRL": lambda: GenRL(initial, nodes),
    }
    node: Way = made[way]()
    print(json.dumps(node.address), flush=True)
    for line in sys.stdin:
        number, size, publisher = json.loads(line)
        print(json.dumps("ready"), flush=True)
        began = time.monotonic()
        if rank == publisher:
            node.publish(number, size)
        else:
            node.gather(number, size, publisher)
        print(json.dumps([began, time.monotonic()]), flush=True)


class Node:
    """A node's process, as the benchmark sees it."""

    def __init__(self, *arguments: object) -> None:
        words = [json.dumps(argument) for argument in arguments]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--work", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def tell(self, *words: int) -> None:
        """Give it something to do, and return when it begins."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        assert self.hear() == "ready"

    def hear(self) -> Any:
        """What it says next."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(map(str, self._process.args))} ended")  # type: ignore[arg-type]
        return json.loads(line)

    def moved(self) -> int:
        """Bytes that it has read from files and written to them."""
        counters = psutil.Process(self._process.pid).io_counters()
        return int(counters.read_chars + counters.write_chars)

    def close(self) -> None:
        """Let it end."""
        self._process.communicate()


class Swarm:
    """Nodes that exchange values in one way."""

    def __init__(self, way: str, nodes: list[Node]) -> None:
        self.way, self._nodes = way, nodes

    def publish(self, number: int, size: int) -> tuple[float, float]:
        """Seconds until all have a value, and bytes carried per byte of it."""
        publisher = number % len(self._nodes)
        others = [node for rank, node in enumerate(self._nodes) if rank != publisher]
        before = self._carried()
        order = (
            [self._nodes[publisher], *others] if self.way != "folder" else [*others, self._nodes[publisher]]
        )
        times = {}
        for node in order:
            node.tell(number, size, publisher)
            if self.way == "direct" and not times:
                times[node] = node.hear()  # no receipt comes before
        times |= {node: node.hear() for node in order if node not in times}
        began = max(b for b, _ in times.values()) if self.way == "GenRL" else times[self._nodes[publisher]][0]
        return max(end for _, end in times.values()) - began, (self._carried() - before) / size

    def _carried(self) -> int:
        if self.way == "folder":
            return sum(node.moved() for node in self._nodes)
        return int(psutil.net_io_counters(pernic=True)["lo"].bytes_recv)


@contextmanager
def swarm_of(way: str, nodes: int) -> Iterator[Swarm]:
    """So many nodes, which know each other."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as root:

        def start(rank: int, initial: list[str]) -> Node:
            node = Node(way, rank, nodes, root, initial)
            stack.callback(node.close)
            return node

        first = start(0, [])
        address = first.hear()
        others = [start(rank, [address] if address else []) for rank in range(1, nodes)]
        for node in others:
            node.hear()
        yield Swarm(way, [first, *others])


def compare(nodes: int, sizes: tuple[int, ...], repeat: int) -> None:
    """Measure a swarm of that size, and print a line for each size of values."""
    with ExitStack() as stack:
        swarms = [stack.enter_context(swarm_of(way, nodes)) for way in ("folder", "direct", "GenRL")]
        for number in range(nodes):
            for swarm in swarms:
                swarm.publish(WARM + number, 1_000)
        for at, size in enumerate(sizes):
            found: dict[str, list[tuple[float, float]]] = {swarm.way: [] for swarm in swarms}
            for number in range(at * repeat, (at + 1) * repeat):
                for swarm in swarms:
                    found[swarm.way].append(swarm.publish(number, size))
            print_line(nodes, size, found)


def print_line(nodes: int, size: int, found: dict[str, list[tuple[float, float]]]) -> None:
    """Medians of all ways, their ratios, and what they carried."""
    seconds = {way: statistics.median(s for s, _ in pairs) for way, pairs in found.items()}
    carried = {way: statistics.median(c for _, c in pairs) for way, pairs in found.items()}
    times = "".join(f"{seconds[way] * 1e3:9.1f}" for way in found)
    ratios = f"{seconds['folder'] / seconds['direct']:9.1f}x{seconds['GenRL'] / seconds['direct']:9.1f}x"
    print(
        f"{nodes:5}{size:10}{times}{ratios}   " + "".join(f"{carried[way]:8.1f}" for way in found), flush=True
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 nodes, 100 KB, once")
    parser.add_argument("--repeat", type=int, default=REPEAT)
    arguments = parser.parse_args()
    repeat = 1 if arguments.quick else arguments.repeat
    print(
        f"milliseconds from publication until all nodes have the value, median of {repeat}; carried: multiples of it"
    )
    print(
        "nodes     bytes   folder   direct    GenRL folder/us  GenRL/us    carried: folder  direct   GenRL",
        flush=True,
    )
    for nodes in (2,) if arguments.quick else NODES:
        compare(nodes, (100_000,) if arguments.quick else SIZES, repeat)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(*map(json.loads, sys.argv[2:]))
    else:
        main()
