"""Discovery: a worker's registrations and signs of life."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from folder_for_tests import Folder, incarnation

from actors.discovery.discovery import Discovery
from drive_store import NameTaken, StoreUnavailable, Valid
from swarm_ray.config.load import config_hash
from swarm_ray.config.schema import PaceConfig
from swarm_ray.records.nodes import Beat, NodeTotals, Registration
from swarm_ray.records.state import Member

PACE = PaceConfig(beat_s=0.04, dead_after_s=20)


@pytest.fixture
def discovery(folder: Folder) -> Discovery:
    return made(folder)


def made(folder: Folder, worker: str = "worker_1", *kept: Path) -> Discovery:
    return Discovery(folder.address, worker, PACE, config_hash(folder.config), {"python": "3"}, *kept)


def member(node: str) -> Member:
    return Member(node, incarnation(node))


def beat_of(folder: Folder, node: str) -> Beat:
    """The node's last beat; one that is being rewritten is looked at again."""
    while not isinstance(reading := folder.registry.read_beat(node, incarnation(node)), Valid):
        time.sleep(0.001)
    return msgspec.json.decode(reading.payload, type=Beat)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextmanager
def running(discovery: Discovery) -> Iterator[None]:
    """Heartbeats are sent meanwhile."""
    thread = threading.Thread(target=discovery.run)
    thread.start()
    try:
        yield
    finally:
        discovery.stop()
        discovery.stop()
        thread.join(20)
    assert not thread.is_alive()


def training(step: int, **said: object) -> Beat:
    return msgspec.structs.replace(Beat(0, step, step, "training", NodeTotals(reward=0.5 * step)), **said)


def test_a_registered_node_is_found_by_others_and_not_by_itself(folder: Folder, discovery: Discovery) -> None:
    other = made(folder, "worker_2")
    discovery.register([member("node-2"), member("node-1")])
    other.register([member("node-3")])
    assert [r.node for r in discovery.discover_peers()] == ["node-3"]
    assert [r.node for r in other.discover_peers()] == ["node-1", "node-2"]
    assert [r.node for r in other.discover_peers(exclude_self=False, max_peers=2)] == ["node-1", "node-2"]
    found = other.discover_peers()[0]
    assert (found.experiment, found.incarnation, found.role) == ("small", incarnation("node-1"), "trainer")
    assert beat_of(folder, "node-1").phase == "registered"


def test_registering_again_changes_nothing(folder: Folder, discovery: Discovery) -> None:
    """A call that Ray repeats after a restart."""
    discovery.register([member("node-1")])
    discovery.report([("node-1", training(3))], published=False)
    discovery.register([member("node-1")])
    assert beat_of(folder, "node-1").step == 3


def test_nobody_registers_under_anothers_incarnation(folder: Folder, discovery: Discovery) -> None:
    discovery.register([member("node-1")])
    other = made(folder, "worker_2")
    with pytest.raises(NameTaken):
        other.register([member("node-1")])


def test_a_resumed_node_names_the_incarnation_that_it_continues(folder: Folder, discovery: Discovery) -> None:
    discovery.register([member("node-1")])
    discovery.report([("node-1", training(3, problem="a trainer died"))], published=False)
    later = Member("node-1", "0000abcd")
    first = incarnation("node-1")
    discovery.register([later], {"node-1": first})
    announced = folder.registry.registrations().values()
    said = [msgspec.json.decode(r.payload, type=Registration) for r in announced if isinstance(r, Valid)]
    assert {(r.incarnation, r.succeeds) for r in said} == {(first, ""), ("0000abcd", first)}
    assert [r.incarnation for r in discovery.discover_peers(exclude_self=False)] == ["0000abcd"]
    reading = folder.registry.read_beat("node-1", "0000abcd")
    assert isinstance(reading, Valid)
    assert msgspec.json.decode(reading.payload, type=Beat).problem is None


def test_a_restart_goes_on_beating(folder: Folder, tmp_path: Path) -> None:
    first = made(folder, "worker_1", tmp_path / "kept")
    first.register([member("node-1")])
    first.report([("node-1", training(4, progress=77))], published=False)
    count = beat_of(folder, "node-1").count
    second = made(folder, "worker_1", tmp_path / "kept")
    with running(second):
        wait_for(lambda: beat_of(folder, "node-1").count > count)
    beat = beat_of(folder, "node-1")
    assert (beat.step, beat.progress) == (4, 77)


def test_progress_alone_is_no_reason_to_write(folder: Folder, discovery: Discovery) -> None:
    discovery.register([member("node-1")])
    discovery.report([("node-1", training(1))], published=False)
    count = beat_of(folder, "node-1").count
    for progress in range(1, 50):
        discovery.report([("node-1", training(1, progress=progress))], published=False)
    assert beat_of(folder, "node-1").count == count
    said = training(1, progress=50, unanswered=(3, 4), alone=True)
    discovery.report([("node-1", said)], published=False)
    beat = beat_of(folder, "node-1")
    assert (beat.progress, beat.unanswered, beat.alone) == (50, (3, 4), True)


def test_beats_of_discovery_itself_are_no_progress(folder: Folder, discovery: Discovery) -> None:
    """A trainer that hangs is found out, although its discovery beats."""
    discovery.register([member("node-1")])
    discovery.report([("node-1", training(1, progress=9))], published=False)
    with running(discovery):
        count = beat_of(folder, "node-1").count
        wait_for(lambda: beat_of(folder, "node-1").count >= count + 3)
    assert beat_of(folder, "node-1").progress == 9


def test_a_folder_that_goes_away_ends_no_beating(folder: Folder, discovery: Discovery) -> None:
    discovery.register([member("node-1")])
    peers = folder.root / folder.paths.peers_folder
    away = peers.with_name("away")
    with running(discovery):
        peers.rename(away)
        discovery.report([("node-1", training(8, done=True))], published=False)
        assert discovery.problem != ""
        with pytest.raises(StoreUnavailable, match="node-1"):
            discovery.flush()
        away.rename(peers)
        wait_for(lambda: beat_of(folder, "node-1").done)
        discovery.flush()
    assert discovery.problem == ""


def test_a_node_that_publishes_needs_no_beat(folder: Folder, discovery: Discovery) -> None:
    discovery.register([member("node-1")])
    discovery.report([("node-1", training(1))], published=True)
    assert beat_of(folder, "node-1").phase == "registered"
    discovery.report([("node-1", training(2))], published=False)
    assert beat_of(folder, "node-1").step == 2


@pytest.mark.parametrize("said", [{"problem": "its loss is not finite"}, {"done": True}])
def test_what_is_final_is_said_at_once(folder: Folder, discovery: Discovery, said: dict[str, object]) -> None:
    discovery.register([member("node-1")])
    discovery.report([("node-1", training(3, **said))], published=True)
    beat = beat_of(folder, "node-1")
    assert beat.step == 3
    assert {name: getattr(beat, name) for name in said} == said


def test_a_long_computation_silences_nobody(folder: Folder, discovery: Discovery) -> None:
    discovery.register([member("node-1"), member("node-2")])
    discovery.report([("node-2", training(9, done=True))], published=False)
    last = beat_of(folder, "node-2").count
    with running(discovery):
        wait_for(lambda: beat_of(folder, "node-1").count >= 3)
    assert beat_of(folder, "node-2").count == last


def test_a_failed_worker_says_so_for_each_node_that_is_not_done(folder: Folder, discovery: Discovery) -> None:
    discovery.register([member(f"node-{n}") for n in (1, 2, 3)])
    discovery.report([("node-1", training(4, done=True))], published=False)
    discovery.report([("node-2", training(4, problem="its loss is not finite"))], published=False)
    discovery.report([("node-3", training(4))], published=True)
    discovery.fail("a trainer died")
    beats = {node: beat_of(folder, node) for node in ("node-1", "node-2", "node-3")}
    assert (beats["node-1"].problem, beats["node-1"].done) == (None, True)
    assert beats["node-2"].problem == "its loss is not finite"
    last = beats["node-3"]
    assert (last.problem, last.step, last.done) == ("a trainer died", 4, False)
    discovery.report([("node-3", training(5))], published=False)
    assert (beat_of(folder, "node-3").problem, beat_of(folder, "node-3").step) == ("a trainer died", 5)


def test_while_a_node_loads_the_incarnation_that_it_continues_goes_on_beating(folder: Folder) -> None:
    before = made(folder)
    before.register([member("node-1"), member("node-2")])
    before.report([("node-1", training(7)), ("node-2", training(9, done=True))], published=False)
    before.flush()
    last = beat_of(folder, "node-1")
    after = made(folder)
    for _ in range(3):
        after.loading([member("node-1"), member("node-2"), member("node-9")])
    after._beat()
    now = beat_of(folder, "node-1")
    assert (now.phase, now.progress, now.count) == ("loading", last.progress + 3, last.count + 1)
    assert (now.round, now.step, now.totals) == (last.round, last.step, last.totals)
    assert beat_of(folder, "node-2").done
    assert "node-9" not in after._beats
    after.report([("node-1", training(8))], published=False)
    after.register([Member("node-1", "0badcafe")], {"node-1": incarnation("node-1")})
    assert after._beats["node-1"].incarnation == "0badcafe"
