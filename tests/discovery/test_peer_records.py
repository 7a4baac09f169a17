"""What a worker's discovery says of its nodes, to be found by others."""

import shutil
import threading
import time
from pathlib import Path

import msgspec
import pytest
from discovery_for_tests import LATER, LIFE, Clock, address, new_root, peer_id
from folder_for_tests import Folder, incarnation

from actors.discovery.discovery import Discovery
from actors.discovery.peer_records import PeerRecords, renewal_s
from drive_store import DiscoveryFolder, Store, StoreUnavailable, Valid
from drive_store.testing import FaultyStore
from swarm_ray.config.schema import PaceConfig
from swarm_ray.discovery import PeerBook
from swarm_ray.machine.local_disk import LocalJson
from swarm_ray.records.nodes import MAX_MULTIADDRS, Beat, NodeKey, NodeTotals, PeerRecord
from swarm_ray.records.state import Member

EVERY_S = 10.0
LINK = peer_id(7)
N1, N2 = Member("node-1", incarnation("node-1")), Member("node-2", incarnation("node-2"))


def records_of(store: Store) -> dict[str, PeerRecord]:
    """What lies in the folder, by node and incarnation."""
    read = DiscoveryFolder(store).read_all()
    said = [msgspec.json.decode(r.payload, type=PeerRecord) for r in read.values() if isinstance(r, Valid)]
    return {f"{record.node}.{record.incarnation}": record for record in said}


class Writer:
    """Records of one worker, on a clock of their own."""

    def __init__(self, folder: Path) -> None:
        self.store = FaultyStore(new_root(folder).root)
        self.clock, self.kept = Clock(), LocalJson(folder / "peers.json", dict[str, PeerRecord])
        self.away = False
        self.start()

    def start(self) -> None:
        self.records = PeerRecords(self.store, self.check, "tea", EVERY_S, self.kept, self.clock)

    def check(self) -> None:
        if self.away:
            raise StoreUnavailable("the mount is away")

    def add(self, node: str, life: str = LIFE, succeeds: str = "") -> None:
        """Add a node and write what is due."""
        self.records.add(Member(node, life), "", succeeds)
        self.records.publish()

    def counts(self) -> dict[str, int]:
        return {name: record.count for name, record in records_of(self.store).items()}


@pytest.mark.parametrize(
    ("beat_s", "dead_after_s", "every_s"), [(2.0, 21.0, 7.0), (60.0, 600.0, 200.0), (4.0, 8.0, 4.0)]
)
def test_a_record_is_renewed_as_rarely_as_staleness_allows(
    beat_s: float, dead_after_s: float, every_s: float
) -> None:
    assert renewal_s(PaceConfig(beat_s=beat_s, dead_after_s=dead_after_s)) == every_s


def test_a_record_is_written_when_it_is_new_or_changed_or_its_time_has_come(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.records.add(Member("n1", LIFE), peer_id(1), "")
    writer.records.add(Member("n2", LIFE), "", "", "coordinator")
    writer.records.publish()
    writer.records.publish()
    assert writer.counts() == {f"n1.{LIFE}": 1, f"n2.{LIFE}": 1}
    writer.records.link(["n1", "stranger"], LINK, [address(n + 1, LINK) for n in range(9)], "local")
    writer.clock.now += EVERY_S - 1
    writer.records.publish()
    assert writer.counts() == {f"n1.{LIFE}": 2, f"n2.{LIFE}": 1}
    writer.clock.now += 1
    writer.records.publish()
    assert writer.counts() == {f"n1.{LIFE}": 2, f"n2.{LIFE}": 2}
    found = records_of(writer.store)
    first, second = found[f"n1.{LIFE}"], found[f"n2.{LIFE}"]
    assert (first.peer_id, first.via, first.reach, first.role) == (peer_id(1), LINK, "local", "trainer")
    assert len(first.multiaddrs) == MAX_MULTIADDRS
    assert (second.via, second.reach, second.role, second.experiment) == ("", "none", "coordinator", "tea")
    operations = writer.store.operations.overwrites
    writer.records.publish()
    assert writer.store.operations.overwrites == operations


def test_who_has_left_says_so_once_and_no_more(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.add("n1")
    writer.add("n2")
    writer.records.link(["n1"], LINK, [address(1, LINK)], "local")
    writer.records.leave(["n1"])
    for _ in range(3):
        writer.records.publish()
        writer.clock.now += EVERY_S
    found = records_of(writer.store)
    assert {name: (r.left, r.count, r.via, r.reach) for name, r in found.items()} == {
        f"n1.{LIFE}": (True, 2, "", "none"),
        f"n2.{LIFE}": (False, 3, "", "none"),
    }
    writer.records.leave()
    writer.records.publish()
    assert all(record.left for record in records_of(writer.store).values())


def test_a_new_incarnation_takes_the_place_of_those_before(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.records.add(Member("n1", LIFE), "", "")
    writer.add("n1")
    writer.records.link(["n1"], LINK, [], "none")
    writer.add("n1", LATER, "89abcdef")
    assert writer.counts() == {f"n1.{LATER}": 1}
    assert records_of(writer.store)[f"n1.{LATER}"].via == ""


def test_a_restart_goes_on_with_what_was_said(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.records.add(Member("n1", LIFE), "", "")
    writer.records.link(["n1"], LINK, [address(1, LINK)], "local")
    writer.records.publish()
    writer.start()
    writer.add("n1")
    found = records_of(writer.store)[f"n1.{LIFE}"]
    assert (found.via, found.count) == (LINK, 2)


def test_a_folder_that_is_away_loses_nothing(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.away = True
    writer.add("n1")
    assert writer.counts() == {}
    assert "away" in writer.records.problem
    writer.away, writer.store.faults.full = False, True
    writer.records.publish()
    assert "full" in writer.records.problem
    writer.store.faults.full = False
    writer.records.leave()
    writer.records.publish()
    assert writer.records.problem == ""
    assert records_of(writer.store)[f"n1.{LIFE}"].left


def a_discovery(folder: Folder, spool: Path | None = None) -> Discovery:
    pace = PaceConfig(beat_s=0.04, dead_after_s=0.12)
    return Discovery(folder.address, "worker_1", pace, "hash", {}, spool)


def test_a_worker_tells_how_its_nodes_are_reached(folder: Folder) -> None:
    discovery = a_discovery(folder)
    discovery.register([N1, N2], keys={"node-1": NodeKey(peer_id(1), "00")})
    lists = discovery._store.operations.lists
    discovery.announce_links(["node-1", "node-2"], LINK, (address(1, LINK),), "local")
    assert discovery._store.operations.lists == lists
    book = PeerBook(folder.store, ttl_s=20)
    found = {r.node: r for r in book.discover_peers()}
    assert {n: (r.peer_id, r.via, r.reach) for n, r in found.items()} == {
        "node-1": (peer_id(1), LINK, "local"),
        "node-2": ("", LINK, "local"),
    }
    assert book.get_peer_info(LINK) in found.values()
    assert discovery.get_stats().by_reach == {"local": 2}
    assert discovery.get_peer_info("node-2") == found["node-2"]


def test_records_beat_on_while_nodes_publish_and_end_with_them(folder: Folder, tmp_path: Path) -> None:
    discovery = a_discovery(folder, tmp_path / "kept")
    discovery.register([N1, N2])
    thread = threading.Thread(target=discovery.run)
    thread.start()
    deadline = time.monotonic() + 20
    discovery.report([("node-2", Beat(0, 1, 1, "ended", NodeTotals(), done=True))], published=False)
    while (found := records_of(folder.store)).get(f"node-1.{N1.incarnation}", NEVER).count < 4:
        discovery.report([("node-1", Beat(0, 1, 1, "training", NodeTotals()))], published=True)
        assert time.monotonic() < deadline
    discovery.stop()
    thread.join(20)
    assert found[f"node-2.{N2.incarnation}"].left
    assert not found[f"node-1.{N1.incarnation}"].left
    assert records_of(folder.store)[f"node-1.{N1.incarnation}"].left


NEVER = PeerRecord("", "", "")


def test_a_worker_that_starts_removes_what_is_over(folder: Folder) -> None:
    before = a_discovery(folder)
    before.register([N1])
    before.stop()
    before.run()  # says goodbye
    after = a_discovery(folder)
    after.register([N2])
    thread = threading.Thread(target=after.run)
    thread.start()
    deadline = time.monotonic() + 20
    while f"node-1.{N1.incarnation}" in records_of(folder.store):
        assert time.monotonic() < deadline
    lists = after._store.operations.lists
    count = records_of(folder.store)[f"node-2.{N2.incarnation}"].count
    while records_of(folder.store).get(f"node-2.{N2.incarnation}", NEVER).count < count + 3:
        assert time.monotonic() < deadline
    assert after._store.operations.lists == lists
    after.stop()
    thread.join(20)


def test_a_folder_for_discovery_that_is_lost_is_said_and_made_again(folder: Folder) -> None:
    discovery = a_discovery(folder)
    place = Path(folder.store.root) / "discovery"
    shutil.rmtree(place)
    place.write_text("in the way")
    discovery.register([N1])
    assert "discovery" in discovery.folder_problem()
    assert discovery.problem == ""
    place.unlink()
    discovery.announce_links([], "", (), "none")
    assert discovery.folder_problem() == ""
    assert list(records_of(folder.store)) == [f"node-1.{N1.incarnation}"]
