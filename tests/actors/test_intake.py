"""Files of the open stage: accepted, superseded, late or rejected, each once, whatever else lies beside them."""

from __future__ import annotations

import msgspec
import pytest
from folder_for_tests import Folder, incarnation, round_file

from actors.intake import Arrivals, Intake
from drive_store import Header, seal_packed
from drive_store.paths import twin_name
from swarm_ray.records import Member

MEMBERS = (Member("node-1", incarnation("node-1")), Member("node-2", incarnation("node-2")))


@pytest.fixture
def intake(folder: Folder) -> Intake:
    for member in MEMBERS:
        folder.join(member.node)
    return Intake(folder.address.open(), folder.paths)


def collect(intake: Intake, number: int, arrivals: Arrivals | None = None) -> Arrivals:
    arrivals = arrivals or Arrivals()
    intake.collect(arrivals.missing(MEMBERS), number, arrivals)
    return arrivals


def raw(folder: Folder, node: str, number: int, data: bytes, digits: str = "ab" * 32) -> str:
    """Write bytes under the name of a round file."""
    key = folder.paths.round_file(node, incarnation(node), number, 0, 0, digits)
    folder.store.make_folder(key.rpartition("/")[0])
    folder.store.create(key, data)
    return key


def test_a_file_is_accepted_once(folder: Folder, intake: Intake) -> None:
    sent = folder.publish("node-1", 0)
    arrivals = collect(intake, 0)
    assert arrivals.accepted == {"node-1": sent}
    assert arrivals.files["node-1"] == round_file(step=0)
    assert [m.node for m in arrivals.missing(MEMBERS)] == ["node-2"]
    assert collect(intake, 0, arrivals).accepted == {"node-1": sent}
    assert collect(intake, 1) == Arrivals()


def test_a_settled_file_is_not_read_again(folder: Folder) -> None:
    folder.join("node-1")
    folder.publish("node-1", 0)
    store = folder.address.open()
    intake = Intake(store, folder.paths)
    collect(intake, 0)
    before = store.operations.reads
    for _ in range(3):
        intake.collect(MEMBERS[:1], 1, Arrivals())
    assert store.operations.reads == before


def test_of_two_files_of_one_round_the_first_counts(folder: Folder, intake: Intake) -> None:
    first = folder.publish("node-1", 0)
    second = folder.publish("node-1", 0, attempt=1)
    arrivals = collect(intake, 0)
    assert arrivals.accepted == {"node-1": first}
    assert arrivals.superseded == [second]


def test_a_file_of_an_earlier_round_is_late_and_the_new_one_is_accepted(
    folder: Folder, intake: Intake
) -> None:
    old, new = folder.publish("node-1", 0), folder.publish("node-1", 2)
    arrivals = collect(intake, 2)
    assert arrivals.late == [old]
    assert arrivals.accepted == {"node-1": new}


def test_a_file_of_a_round_to_come_has_to_wait(folder: Folder, intake: Intake) -> None:
    early = folder.publish("node-1", 1)
    assert collect(intake, 0) == Arrivals()
    assert collect(intake, 1).accepted == {"node-1": early}


def test_a_torn_file_is_looked_at_again_until_it_is_whole(folder: Folder, intake: Intake) -> None:
    sent = folder.publish("node-1", 0)
    path = folder.root / sent.key
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert collect(intake, 0) == Arrivals()
    path.write_bytes(whole)
    assert collect(intake, 0).accepted == {"node-1": sent}


def sealed(experiment: str = "small", payload: bytes = b"", **said: object) -> bytes:
    header = Header(kind="rollouts", experiment=experiment, node="node-1", incarnation=incarnation("node-1"))
    return seal_packed(
        msgspec.structs.replace(header, **said), payload or msgspec.msgpack.encode(round_file())
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"noise" * 50, "Corrupt"),
        (sealed()[:-1] + b"x", "Corrupt"),
        (sealed(experiment="other"), "experiment 'other'"),
        (sealed(node="node-2"), "node 'node-2'"),
        (sealed(incarnation="ffffffff"), "incarnation"),
        (sealed(kind="state"), "kind 'state'"),
        (sealed(round=7), "another name"),
        (sealed(), "another name"),  # the name has another hash than the payload
        (sealed(payload=bytes(64 << 20)), "67108864 bytes"),
    ],
    ids=["noise", "damaged", "experiment", "node", "incarnation", "kind", "round", "hash", "bomb"],
)
def test_what_is_no_round_file_of_the_node_is_rejected_with_a_reason(
    folder: Folder, intake: Intake, data: bytes, reason: str
) -> None:
    key = raw(folder, "node-1", 0, data)
    arrivals = collect(intake, 0)
    assert [(r.node, r.key) for r in arrivals.rejected] == [("node-1", key)]
    assert reason in arrivals.rejected[0].reason
    assert arrivals.accepted == {}
    assert [m.node for m in arrivals.missing(MEMBERS)] == ["node-2"]
    assert collect(intake, 1) == Arrivals()


def test_a_whole_envelope_with_junk_in_it_is_rejected(folder: Folder, intake: Intake) -> None:
    sent = folder.publish("node-1", 0, msgspec.msgpack.encode({"a": 1}))
    (refusal,) = collect(intake, 0).rejected
    assert (refusal.node, refusal.key) == ("node-1", sent.key)
    assert "not a round file" in refusal.reason


def test_a_rejected_file_of_an_earlier_round_does_not_cost_the_present_one(
    folder: Folder, intake: Intake
) -> None:
    raw(folder, "node-1", 0, b"noise")
    arrivals = collect(intake, 1)
    assert [r.node for r in arrivals.rejected] == ["node-1"]
    assert arrivals.missing(MEMBERS) == list(MEMBERS)
    sent = folder.publish("node-1", 1)
    assert collect(intake, 1, arrivals).accepted == {"node-1": sent}
    assert len(arrivals.rejected) == 1


@pytest.mark.parametrize("keep_original", [True, False])
def test_a_twin_counts_as_the_file_it_doubles(folder: Folder, intake: Intake, keep_original: bool) -> None:
    sent = folder.publish("node-1", 0)
    path = folder.root / sent.key
    twin = path.with_name(twin_name(path.name, 1))
    twin.write_bytes(path.read_bytes())
    if not keep_original:
        path.unlink()
    arrivals = collect(intake, 0)
    assert arrivals.accepted["node-1"].sha256 == sent.sha256
    assert (arrivals.superseded, arrivals.rejected) == ([], [])
    path.write_bytes(twin.read_bytes())
    assert collect(intake, 1) == Arrivals()


def test_a_listing_a_member_and_no_more(folder: Folder) -> None:
    members = [folder.join(f"node-{n}") for n in range(1, 6)]
    for member in members:
        folder.publish(member.node, 0)
    store = folder.address.open()
    Intake(store, folder.paths).collect(members, 0, Arrivals())
    assert store.operations.lists == 5


def test_what_people_leave_in_the_folder_is_passed_over(folder: Folder, intake: Intake) -> None:
    sent = folder.publish("node-1", 0)
    beside = (folder.root / sent.key).parent
    (beside / "desktop.ini").write_text("[.ShellClassInfo]")
    (beside / "r000000-s0.0.notes.txt").write_text("x")
    (beside / "r000000-s0.0.zzzzzzzzzzzz.msgpack").write_text("x")
    arrivals = collect(intake, 0)
    assert arrivals.accepted == {"node-1": sent}
    assert arrivals.rejected == []
