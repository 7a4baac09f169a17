"""Who belongs to the swarm: first come, same configuration, alive by change on the coordinator's own clock."""

import msgspec
import pytest
from folder_for_tests import Folder, incarnation

from actors.coordinator.roster import Roster
from drive_store import ExperimentStore
from swarm_ray.config.load import config_hash
from swarm_ray.config.schema import PaceConfig
from swarm_ray.records.nodes import NodeTotals, Registration
from swarm_ray.records.state import Member

PACE = PaceConfig(beat_s=2.0, dead_after_s=20.0)


@pytest.fixture
def roster(folder: Folder) -> Roster:
    return Roster(ExperimentStore(folder.store, folder.paths), {config_hash(folder.config)}, PACE)


def active(roster: Roster, now: float) -> list[str]:
    return [m.node for m in roster.get_active_peers(now)]


def test_registered_nodes_are_members_in_the_order_of_their_ids(folder: Folder, roster: Roster) -> None:
    names = ("coordinator-1", "node-0", "node-1", "node-10", "node-2", "node_0-7")  # none is taken for a role
    for node in reversed(names):
        folder.register(node)
    roster.scan(100.0)
    assert roster.get_active_peers(100.0) == [Member(n, incarnation(n)) for n in names]
    assert (roster.refused, roster.mark_silent(100.0)) == ({}, []), "the first sight calls nobody dead"


def test_a_life_that_continues_none_is_refused_while_the_first_lives(folder: Folder, roster: Roster) -> None:
    folder.register("node-1")
    roster.scan(0.0)
    folder.register("node-1", "ffffffff")
    roster.scan(1.0)
    assert roster.get_active_peers(1.0) == [Member("node-1", incarnation("node-1"))]
    assert list(roster.refused) == ["node-1.ffffffff"]
    assert "taken" in roster.refused["node-1.ffffffff"]


def test_a_life_that_continues_the_present_one_replaces_it_at_once(folder: Folder, roster: Roster) -> None:
    folder.register("node-1")
    roster.scan(0.0)
    folder.register("node-1", "bbbbbbbb", succeeds="aaaaaaaa")
    folder.register("node-1", "aaaaaaaa", succeeds=incarnation("node-1"))
    roster.scan(1.0)
    assert roster.get_active_peers(1.0) == [Member("node-1", "bbbbbbbb")]
    assert roster.peers["node-1"].incarnations == [incarnation("node-1"), "aaaaaaaa", "bbbbbbbb"]
    assert roster.refused == {}


@pytest.mark.parametrize("end", ["done", "failed", "silent"])
def test_it_has_the_node_once_the_first_has_ended(folder: Folder, roster: Roster, end: str) -> None:
    folder.register("node-1")
    roster.scan(0.0)
    folder.register("node-1", "ffffffff")
    if end != "silent":
        said = {"done": True} if end == "done" else {"problem": "its loss is not finite"}
        folder.beat("node-1", 1, **said)
    roster.scan(5.0, every_beat=True)
    later = 30.0 if end == "silent" else 6.0
    roster.mark_silent(later)
    roster.scan(later)
    assert roster.get_active_peers(later) == [Member("node-1", "ffffffff")]
    assert (roster.peers["node-1"].problem, roster.refused) == (None, {})


def test_a_node_that_was_thought_dead_is_taken_back_when_it_is_heard(folder: Folder, roster: Roster) -> None:
    folder.register("node-1")
    folder.beat("node-1", 1)
    roster.scan(0.0, every_beat=True)
    assert roster.mark_silent(21.0) == ["node-1"]
    roster.scan(22.0)
    assert active(roster, 22.0) == []
    folder.beat("node-1", 2)
    roster.scan(23.0)
    assert active(roster, 23.0) == ["node-1"]
    assert roster.peers["node-1"].problem is None


def test_a_trainer_that_hangs_is_dead_although_its_beats_go_on(folder: Folder, roster: Roster) -> None:
    folder.register("node-1")
    folder.register("node-2")
    for count in range(8):
        folder.beat("node-1", count, step=3, progress=70)
        folder.beat("node-2", count, step=3, progress=70 + count)
        roster.scan(3.0 * count, every_beat=True)
    assert roster.mark_silent(22.0) == ["node-1"]


def test_nobody_is_dead_because_the_coordinator_could_not_hear(folder: Folder, roster: Roster) -> None:
    folder.register("node-1")
    roster.scan(0.0)
    roster.excuse(500.0)
    roster.scan(500.0)
    assert roster.mark_silent(500.0) == []
    assert roster.mark_silent(521.0) == ["node-1"]


def test_a_successor_begins_with_lives_and_problems_of_the_log(folder: Folder, roster: Roster) -> None:
    folder.register("node-1")
    folder.register("node-1", "eeeeeeee")
    folder.register("node-1", "ffffffff", succeeds="eeeeeeee")
    folder.register("node-2")
    folder.beat("node-2", 1)
    roster.restore({"node-1": "ffffffff"}, {"node-2": "nothing heard of it"})
    roster.scan(0.0, every_beat=True)
    assert roster.get_active_peers(0.0) == [Member("node-1", "ffffffff")]
    assert roster.peers["node-1"].incarnations == ["eeeeeeee", "ffffffff"]
    assert roster.peers["node-2"].problem == "nothing heard of it"
    folder.beat("node-2", 2)
    roster.scan(1.0, every_beat=True)
    assert active(roster, 1.0) == ["node-1", "node-2"]


def test_another_configuration_is_refused_and_a_later_one_is_not(folder: Folder, roster: Roster) -> None:
    first = config_hash(folder.config)
    folder.register("node-1", hashed="0123456789ab")
    roster.scan(0.0)
    assert active(roster, 0.0) == []
    assert roster.refused == {"node-1.00000001": f"configuration 0123456789ab, not {first}"}
    roster.config_hashes.add("ba9876543210")
    folder.register("node-2", hashed="ba9876543210")
    folder.register("node-3")
    roster.scan(0.0)
    assert active(roster, 0.0) == ["node-2", "node-3"]


def test_a_registration_that_is_none_is_refused_and_does_no_harm(folder: Folder, roster: Roster) -> None:
    folder.registry.register("node-1", "00000001", b'{"node": 1}')
    stolen = Registration("node-3", "00000003", "w", config_hash(folder.config), {}, "")
    folder.registry.register("node-2", "00000002", msgspec.json.encode(stolen))
    folder.register("node-4")
    (folder.root / folder.paths.peers_folder / "node-5.00000005.json").write_bytes(b"noise")
    (folder.root / folder.paths.peers_folder / "Read me.txt").write_text("notes of a person")
    roster.scan(0.0)
    assert active(roster, 0.0) == ["node-4"]
    assert sorted(roster.refused) == ["node-1.00000001", "node-2.00000002"]


def test_silence_is_a_problem_and_a_sign_of_life_ends_it_only_in_time(folder: Folder, roster: Roster) -> None:
    for node in ("node-1", "node-2", "node-3"):
        folder.register(node)
    roster.scan(0.0)
    folder.beat("node-1", 1)
    roster.scan(15.0)
    roster.published("node-2", 18.0)
    assert roster.mark_silent(20.0) == []
    assert roster.mark_silent(21.0) == ["node-3"]
    assert active(roster, 21.0) == ["node-1", "node-2"]
    problem = roster.peers["node-3"].problem
    assert problem is not None
    assert "21 s" in problem
    assert roster.mark_silent(36.0) == ["node-1"]
    assert roster.mark_silent(36.0) == []


def test_a_node_that_says_it_failed_is_no_member_and_says_why(folder: Folder, roster: Roster) -> None:
    folder.register("node-1")
    folder.beat("node-1", 1, problem="its loss is not finite")
    roster.scan(3.0, every_beat=True)
    assert active(roster, 3.0) == []
    assert roster.peers["node-1"].problem == "its loss is not finite"
    assert roster.mark_silent(99.0) == []


def test_a_node_that_is_done_is_neither_active_nor_missed(folder: Folder, roster: Roster) -> None:
    folder.register("node-1")
    folder.register("node-2")
    totals = NodeTotals(reward=2.5, used=4)
    folder.beat("node-1", 5, done=True, totals=totals)
    folder.beat("node-2", 1, totals=NodeTotals(reward=0.5))
    roster.scan(3.0, every_beat=True)
    assert active(roster, 3.0) == ["node-2"]
    assert roster.mark_silent(99.0) == ["node-2"]
    assert roster.totals() == {"node-1": totals}, "a living node's beat is behind its files"


def test_beats_of_nodes_that_publish_are_not_read(folder: Folder, roster: Roster) -> None:
    for node in ("node-1", "node-2"):
        folder.register(node)
        folder.beat(node, 1)
    roster.scan(0.0)
    before = folder.store.operations.reads
    roster.published("node-1", 10.0)
    roster.scan(10.5)
    assert folder.store.operations.reads - before == 1


def test_a_beat_that_is_none_is_a_problem(folder: Folder, roster: Roster) -> None:
    folder.register("node-1")
    folder.registry.write_beat("node-1", incarnation("node-1"), 1, b'{"count": "many"}')
    roster.scan(3.0, every_beat=True)
    assert active(roster, 3.0) == []
    assert "beat" in str(roster.peers["node-1"].problem)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"{}", "missing required field"),
        (msgspec.json.encode(Registration("node-2", "aaaaaaaa", "worker", "", {}, "")), "of another node"),
    ],
)
def test_a_refusal_says_what_is_wrong_with_a_registration(
    folder: Folder, roster: Roster, said: bytes, why: str
) -> None:
    folder.registry.register("node-1", "aaaaaaaa", said)
    roster.scan(0.0)
    assert why in roster.refused["node-1.aaaaaaaa"]
