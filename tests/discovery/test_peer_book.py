"""What is read of the folder in which nodes meet; who is fresh, stale or gone; and whose records are removed."""

import tempfile
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from discovery_for_tests import LATER, LIFE, Clock, new_root, peer_id, say
from hypothesis import given, settings
from hypothesis import strategies as st

from drive_store import (
    DiscoveryFolder,
    ExperimentPaths,
    ExperimentStore,
    InvalidName,
    StateLogWriter,
    Store,
    StoreFull,
    StoreUnavailable,
    Valid,
    create_experiment_folder,
)
from drive_store.names import parse_registration_name, twin_name
from drive_store.paths import discovery_record
from drive_store.registry import MAX_RECORD
from drive_store.testing import FaultyStore
from swarm_ray.discovery import PeerBook, PeerStats
from swarm_ray.records.nodes import PeerRecord
from swarm_ray.records.state import StateRecord

TTL_S = 20.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return new_root(tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(store: Store, clock: Clock) -> PeerBook:
    return PeerBook(store, ttl_s=TTL_S, clock=clock)


def nodes(found: list[PeerRecord]) -> list[str]:
    return [record.node for record in found]


def end_experiment(store: Store, name: str, state: str) -> None:
    paths = ExperimentPaths(name)
    create_experiment_folder(ExperimentStore(store, paths))
    payload = msgspec.json.encode(StateRecord(state, 3, None, None, {}))
    StateLogWriter(ExperimentStore(store, paths), 1, "c.0a0b0c0d").append(payload, round=0, stage=0)


def test_whom_it_finds(store: Store, book: PeerBook) -> None:
    for node in ("n2", "n1"):
        say(store, node)
    say(store, "own")
    say(store, "own", life=LATER, experiment="coffee")
    say(store, "boss", role="coordinator")
    say(store, "gone", left=True)
    book.claim("tea", "own", LIFE)
    found = [f"{r.experiment}/{r.node}" for r in book.discover_peers()]
    assert found == ["coffee/own", "tea/boss", "tea/n1", "tea/n2"]
    assert nodes(book.discover_peers(experiment="tea", role_filter="trainer")) == ["n1", "n2"]
    assert nodes(book.discover_peers(exclude_self=False, experiment="tea")) == ["boss", "n1", "n2", "own"]
    assert nodes(book.discover_peers(max_peers=2)) == ["own", "boss"]
    assert book.discover_peers(max_peers=0) == []


def test_a_record_is_fresh_until_it_has_not_changed_for_its_time(
    store: Store, book: PeerBook, clock: Clock
) -> None:
    say(store, "n1", 1)
    say(store, "n2", 1)
    assert nodes(book.discover_peers()) == ["n1", "n2"]
    clock.now += TTL_S
    say(store, "n1", 2)
    assert nodes(book.discover_peers()) == ["n1", "n2"]
    clock.now += 1
    assert nodes(book.discover_peers()) == ["n1"]
    assert book.get_stats() == PeerStats(1, 1, 0, 0, {"trainer": 1}, {"none": 1}, {"tea": 1})
    say(store, "n2", 0)  # it was restarted with nothing kept: a change all the same
    assert nodes(book.discover_peers()) == ["n1", "n2"]


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sets(st.sampled_from(["n1", "n2", "n3"])), st.sampled_from([1.0, 9.0, 21.0])), max_size=8
    )
)
def test_freshness_follows_what_changed_between_looks(looks: list[tuple[set[str], float]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, clock = new_root(Path(folder)), Clock()
        book, counts = PeerBook(store, ttl_s=TTL_S, clock=clock), Counter[str]()
        changed: dict[str, float] = {}
        for beating, passed in looks:
            clock.now += passed
            for node in beating:
                counts[node] += 1
                changed[node] = clock.now
                say(store, node, counts[node])
            fresh = sorted(node for node, at in changed.items() if clock.now - at <= TTL_S)
            assert nodes(book.discover_peers()) == fresh


def test_a_peer_is_known_by_its_ids_and_the_living_one_is_meant(
    store: Store, book: PeerBook, clock: Clock
) -> None:
    say(store, "n1", via=peer_id(1), peer_id=peer_id(2))
    say(store, "n2")
    assert book.get_peer_info("n3") is None
    assert book.get_peer_info("") is None
    found = [book.get_peer_info(text) for text in ("n1", peer_id(1), peer_id(2))]
    assert [record and record.node for record in found] == ["n1"] * 3
    clock.now += TTL_S + 1
    say(store, "n1", life=LATER)
    again = book.get_peer_info("n1")
    assert again is not None
    assert again.incarnation == LATER


def test_what_is_no_record_is_counted_and_hides_nobody(store: Store, book: PeerBook) -> None:
    folder = DiscoveryFolder(store)
    say(store, "n1", reach="local")
    said = {
        "n3": PeerRecord("n1", LIFE, "tea"),
        "n4": PeerRecord("n4", LIFE, "coffee"),
        "n5": PeerRecord("n5", LIFE, "tea", multiaddrs=("/ip4/1.2.3.4",) * 9),
        "n6": PeerRecord("n6", LIFE, "tea", via="../../x"),
        "n7": PeerRecord("n7", LIFE, "tea", multiaddrs=("/" * 300,)),
    }
    payloads = {node: msgspec.json.encode(record) for node, record in said.items()}
    payloads |= {"n2": b"[]", "na": b'{"node":"na","incarnation":"\xff"}'}
    for node, payload in payloads.items():
        folder.write("tea", node, LIFE, 1, payload)
    whole = Path(store.root, discovery_record("n1", LIFE)).read_bytes()
    for node, data in {"n8": b"garbage", "nb": whole, "nc": whole[:60], "nd": b"x" * 10**6}.items():
        Path(store.root, discovery_record(node, LIFE)).write_bytes(data)
    Path(store.root, discovery_record("ne", LIFE)).mkdir()
    folder.write("a..b", "n9", LIFE, 1, msgspec.json.encode(PeerRecord("n9", LIFE, "a..b")))
    assert nodes(book.discover_peers()) == ["n1"]
    assert book.get_stats() == PeerStats(1, 0, 0, 13, {"trainer": 1}, {"local": 1}, {"tea": 1})
    assert book.cleanup_stale_entries(0.0) == []


def test_a_record_that_is_being_rewritten_stays_what_it_was(store: Store, book: PeerBook) -> None:
    say(store, "n1")
    book.discover_peers()
    path = Path(store.root, discovery_record("n1", LIFE))
    path.write_bytes(path.read_bytes()[:40])
    assert nodes(book.discover_peers()) == ["n1"]
    assert PeerBook(store, ttl_s=TTL_S).get_stats().unreadable == 1


def test_own_former_lives_and_those_who_said_goodbye_are_removed_at_once(
    store: Store, book: PeerBook
) -> None:
    say(store, "own")
    say(store, "own", life=LATER)
    say(store, "n1", left=True)
    say(store, "n2")
    book.claim("tea", "own", LATER)
    assert book.cleanup_stale_entries(1000.0) == [f"n1.{LIFE}", f"own.{LIFE}"]
    assert nodes(book.discover_peers(exclude_self=False)) == ["n2", "own"]
    assert book.cleanup_stale_entries(1000.0) == []


@pytest.mark.parametrize(
    ("state", "older_than_s", "waited_s", "goes"),
    [
        ("finished", 0.0, 0.0, True),
        ("stopped", 5.0, 6.0, True),
        ("failed", 5.0, 4.0, False),
        ("running", 0.0, 19.0, False),
        ("running", 0.0, 21.0, True),
        ("running", 30.0, 21.0, False),
        ("", 0.0, 19.0, False),
        ("", 0.0, 21.0, True),
    ],
)
def test_records_of_others_go_when_they_are_silent_and_over(
    store: Store, book: PeerBook, clock: Clock, state: str, older_than_s: float, waited_s: float, goes: bool
) -> None:
    if state:
        end_experiment(store, "tea", state)
    say(store, "n1")
    book.discover_peers()
    clock.now += waited_s
    say(store, "n2", experiment="coffee")
    assert book.cleanup_stale_entries(older_than_s) == ([f"n1.{LIFE}"] if goes else [])
    assert "n2" in nodes(book.discover_peers())


def test_one_who_was_removed_though_alive_is_back_with_the_next_sign(
    store: Store, book: PeerBook, clock: Clock
) -> None:
    say(store, "n1")
    book.discover_peers()
    clock.now += TTL_S + 1
    assert book.cleanup_stale_entries(0.0) == [f"n1.{LIFE}"]
    say(store, "n1", 2)
    assert nodes(book.discover_peers()) == ["n1"]


def test_what_is_in_the_way_of_a_removal_stops_no_other(store: Store, book: PeerBook) -> None:
    for node in ("n1", "n2"):
        say(store, node, left=True)
    Path(store.root, f"discovery/n1.{LIFE} (1).json").mkdir()
    assert book.cleanup_stale_entries(0.0) == [f"n2.{LIFE}"]


def payload_of(folder: DiscoveryFolder) -> bytes:
    reading = folder.read_all()["n1", LIFE]
    assert isinstance(reading, Valid)
    return reading.payload


def path_of(store: Store, node: str, twin: int = 0) -> Path:
    return Path(store.root, twin_name(discovery_record(node, LIFE), twin))


def test_experiments_share_the_folder_and_the_last_word_of_each_node_is_read(store: Store) -> None:
    folder = DiscoveryFolder(store)
    assert folder.read_all() == {}
    folder.write("tea", "n1", LIFE, 1, b'{"n":1}')
    folder.write("tea", "n1", LIFE, 2, b'{"n":2}')
    folder.write("coffee", "n1", LATER, 1, b"3")
    lists, reads = store.operations.lists, store.operations.reads
    found = folder.read_all()
    assert (store.operations.lists - lists, store.operations.reads - reads) == (1, 2)
    said = {peer: (r.header.experiment, r.payload) for peer, r in found.items() if isinstance(r, Valid)}
    assert said == {("n1", LIFE): ("tea", b'{"n":2}'), ("n1", LATER): ("coffee", b"3")}


def test_a_settled_record_is_not_read_again_and_is_gone_with_its_name(store: Store) -> None:
    folder = DiscoveryFolder(store)
    folder.write("tea", "n1", LIFE, 1, b"1")
    last = folder.read_all()["n1", LIFE]
    assert isinstance(last, Valid)
    folder.settle("n1", LIFE, last)
    reads = store.operations.reads
    assert folder.read_all() == {("n1", LIFE): last}
    assert store.operations.reads == reads
    folder.remove("n1", LIFE)
    assert folder.read_all() == {}


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (f"n1.{LIFE}.json", ("n1", LIFE, 0)),
        (f"n1.{LIFE} (2).json", ("n1", LIFE, 2)),
        (f"../n1.{LIFE}.json", None),
        (f"N1.{LIFE}.json", None),
        *((name, None) for name in (f"n1.{LIFE}.beat", f"n1.{LIFE}.json\n", "n1.123.json", "desktop.ini")),
        (f"{'n' * 64}.{LIFE}.json", None),
    ],
)
def test_names_are_checked(text: str, parsed: tuple[str, str, int] | None) -> None:
    found = parse_registration_name(text)
    assert (found and (found.node, found.incarnation, found.twin)) == parsed


def test_no_record_is_written_under_a_name_that_nobody_would_read(store: Store) -> None:
    folder = DiscoveryFolder(store)
    for node, life in (("../n1", LIFE), ("n1", "x"), ("", LIFE)):
        with pytest.raises(InvalidName):
            folder.write("tea", node, life, 1, b"1")
    with pytest.raises(ValueError, match=str(MAX_RECORD)):
        folder.write("tea", "n1", LIFE, 1, b'"%s"' % (b"x" * MAX_RECORD))
    assert store.names("discovery") == []


def test_of_twins_the_one_that_was_written_last_speaks_and_both_are_removed(store: Store) -> None:
    folder = DiscoveryFolder(store)
    folder.write("tea", "n1", LIFE, 2, b"2")
    path_of(store, "n1").rename(path_of(store, "n1", 1))
    folder.write("tea", "n1", LIFE, 1, b"1")
    assert payload_of(folder) == b"2"
    path_of(store, "n1", 1).write_bytes(b"garbage")
    assert payload_of(folder) == b"1"
    folder.remove("n1", LIFE)
    folder.remove("n1", LIFE)
    assert store.names("discovery") == []


def test_a_root_from_before_there_was_discovery_gets_the_folder(tmp_path: Path) -> None:
    folder = DiscoveryFolder(Store(str(tmp_path)))
    folder.write("tea", "n1", LIFE, 1, b"1")
    assert payload_of(folder) == b"1"


def test_on_a_drive_that_shows_files_late_and_fails(store: Store) -> None:
    DiscoveryFolder(store).write("tea", "n1", LIFE, 1, b"1")
    faulty = FaultyStore(store.root)
    folder = DiscoveryFolder(faulty)
    faulty.faults.delay_looks = 2
    assert [list(folder.read_all()) for _ in range(3)] == [[], [], [("n1", LIFE)]]
    faulty.faults.full = True
    with pytest.raises(StoreFull):
        folder.write("tea", "n1", LIFE, 2, b"2")
    faulty.faults.unavailable = True
    for call in (folder.read_all, lambda: folder.remove("n1", LIFE), lambda: folder.age("n1", LIFE, 0.0)):
        with pytest.raises(StoreUnavailable):
            call()
    faulty.faults.full = faulty.faults.unavailable = False
    assert payload_of(folder) == b"1"


def test_age_is_that_of_the_file(store: Store) -> None:
    folder = DiscoveryFolder(store)
    assert folder.age("n1", LIFE, 5.0) is None
    folder.write("tea", "n1", LIFE, 1, b"1")
    written = path_of(store, "n1").stat().st_mtime
    assert folder.age("n1", LIFE, written + 7) == pytest.approx(7)
    assert folder.age("n1", LIFE, written - 7) == 0.0
