"""Files of the open stage: accepted, superseded, late or rejected, each once, whatever else lies beside them."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from folder_for_tests import Folder, closed, incarnation, round_file

from actors.coordinator.closing import DueStage, Received
from actors.coordinator.context import KEPT, RoundHistory, listings_of_round
from actors.coordinator.roster import Peer
from actors.coordinator.submissions import REMEMBERED_ROUNDS, Listing, Submissions
from drive_store import ExperimentStore, Header, Publication, publish_round_file, seal_packed
from drive_store.names import twin_name
from swarm_ray.records.nodes import Registration
from swarm_ray.records.state import Answers, FileRef, Member, Moment, StateRecord

MEMBERS = (Member("node-1", incarnation("node-1")), Member("node-2", incarnation("node-2")))


@pytest.fixture
def submissions(folder: Folder) -> Submissions:
    for member in MEMBERS:
        folder.join(member.node)
    return Submissions(folder.address.open())


def collect(submissions: Submissions, number: int, received: Received | None = None, **said: Any) -> Received:
    """Look for a round's files: those of members that are missing, unless `at` tells where."""
    received = received or Received()
    listings = said.pop("at", None) or looks(received.missing(MEMBERS), number)
    submissions.collect(listings, turn(number, **said), received)
    return received


def looks(members: Sequence[Member], number: int) -> list[Listing]:
    return [Listing(m.node, m.incarnation, number) for m in members]


def turn(number: int, **said: Any) -> DueStage:
    return DueStage(Moment(number), members=frozenset(m.node for m in MEMBERS), **said)


def accepted(received: Received) -> list[FileRef]:
    return [counted.ref for counted in received.accepted]


def publish(folder: Folder, node: str, number: int, *, step: int | None = None, **said: Any) -> FileRef:
    """Publish a file of a round; the round is the step unless another is given."""
    step = number if step is None else step
    made = folder.publish(node, number, msgspec.msgpack.encode(round_file(step=step, **said)))
    return msgspec.structs.replace(made, step=step)


def recorded(
    folder: Folder, number: int, accepted: Sequence[FileRef] = (), late: Sequence[FileRef] = ()
) -> StateRecord:
    stage = closed(number, tuple(accepted))
    answers = Answers(late=tuple(late))
    return StateRecord("running", folder.config.rounds, stage, None, {}, answers=answers)


def raw(folder: Folder, node: str, number: int, data: bytes, digits: str = "ab" * 32) -> str:
    """Write bytes under the name of a round file."""
    key = folder.paths.round_file(node, incarnation(node), number, 0, 0, digits)
    folder.store.make_folder(key.rpartition("/")[0])
    folder.store.create(key, data)
    return key


def test_a_file_is_accepted_once(folder: Folder, submissions: Submissions) -> None:
    sent = folder.publish("node-1", 0)
    received = collect(submissions, 0)
    assert accepted(received) == [sent]
    assert received.accepted[0].file == round_file(step=0)
    assert [m.node for m in received.missing(MEMBERS)] == ["node-2"]
    assert accepted(collect(submissions, 0, received)) == [sent]
    assert collect(submissions, 1) == Received()


def test_a_settled_file_is_not_read_again(folder: Folder) -> None:
    folder.join("node-1")
    folder.publish("node-1", 0)
    store = folder.address.open().store
    submissions = Submissions(ExperimentStore(store, folder.paths))
    collect(submissions, 0)
    before = store.operations.reads
    for _ in range(3):
        submissions.collect(looks(MEMBERS[:1], 1), turn(1), Received())
    assert store.operations.reads == before


def test_a_file_counts_in_its_own_round_and_only_the_first(folder: Folder, submissions: Submissions) -> None:
    first, second = folder.publish("node-1", 0), folder.publish("node-1", 0, attempt=1)
    early = publish(folder, "node-1", 2)
    received = collect(submissions, 0)
    assert (accepted(received), received.superseded) == ([first], [second])
    assert collect(submissions, 1) == Received(), "that of a round to come has to wait"
    late = publish(folder, "node-2", 1)
    received = collect(submissions, 2)
    assert (accepted(received), received.late) == ([early], [late])


def test_a_torn_file_is_looked_at_again_until_it_is_whole(folder: Folder, submissions: Submissions) -> None:
    sent = folder.publish("node-1", 0)
    path = folder.root / sent.key
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert collect(submissions, 0) == Received()
    path.write_bytes(whole)
    assert accepted(collect(submissions, 0)) == [sent]


def sealed(experiment: str = "small", payload: bytes = b"", **said: object) -> bytes:
    header = Header(kind="rollouts", experiment=experiment, node="node-1", incarnation=incarnation("node-1"))
    header = msgspec.structs.replace(header, **said)
    return seal_packed(header, payload or msgspec.msgpack.encode(round_file()))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"noise" * 50, "Corrupt"),
        (sealed()[:-1] + b"x", "Corrupt"),
        (sealed(experiment="other"), "experiment 'other'"),
        (sealed(node="node-2"), "node 'node-2'"),
        (sealed(incarnation="ffffffff"), "incarnation"),
        (sealed(kind="state"), "kind 'state'"),
        (sealed(round=7), "belongs under"),
        (sealed(), "belongs under"),  # the name has another hash than the payload
        (sealed(payload=bytes(64 << 20)), "67108864 bytes"),
    ],
    ids=["noise", "damaged", "experiment", "node", "incarnation", "kind", "round", "hash", "bomb"],
)
def test_odd_files_are_rejected(folder: Folder, submissions: Submissions, data: bytes, reason: str) -> None:
    key = raw(folder, "node-1", 0, data)
    received = collect(submissions, 0)
    assert [(r.node, r.key) for r in received.rejected] == [("node-1", key)]
    assert reason in received.rejected[0].reason
    assert received.accepted == []
    assert [m.node for m in received.missing(MEMBERS)] == ["node-2"]
    assert collect(submissions, 1) == Received()


def test_a_whole_envelope_with_junk_in_it_is_rejected(folder: Folder, submissions: Submissions) -> None:
    sent = folder.publish("node-1", 0, msgspec.msgpack.encode({"a": 1}))
    (refusal,) = collect(submissions, 0).rejected
    assert (refusal.node, refusal.key) == ("node-1", sent.key)
    assert "not a round file" in refusal.reason


def test_a_rejected_file_of_an_earlier_round_costs_nothing(folder: Folder, submissions: Submissions) -> None:
    raw(folder, "node-1", 0, b"noise")
    received = collect(submissions, 1)
    assert [r.node for r in received.rejected] == ["node-1"]
    assert received.missing(MEMBERS) == list(MEMBERS)
    sent = publish(folder, "node-1", 1)
    assert accepted(collect(submissions, 1, received)) == [sent]
    assert len(received.rejected) == 1


@pytest.mark.parametrize("kept", [True, False])
def test_a_twin_counts_as_the_file_it_doubles(folder: Folder, submissions: Submissions, kept: bool) -> None:
    sent = folder.publish("node-1", 0)
    path = folder.root / sent.key
    twin = path.with_name(twin_name(path.name, 1))
    twin.write_bytes(path.read_bytes())
    if not kept:
        path.unlink()
    received = collect(submissions, 0)
    assert accepted(received)[0].sha256 == sent.sha256
    assert (received.superseded, received.rejected) == ([], [])
    path.write_bytes(twin.read_bytes())
    assert collect(submissions, 1) == Received()


def test_a_listing_a_member_and_no_more(folder: Folder) -> None:
    members = [folder.join(f"node-{n}") for n in range(1, 6)]
    for member in members:
        folder.publish(member.node, 0)
    store = folder.address.open().store
    Submissions(ExperimentStore(store, folder.paths)).collect(looks(members, 0), turn(0), Received())
    assert store.operations.lists == 5


def test_what_people_leave_in_the_folder_is_passed_over(folder: Folder, submissions: Submissions) -> None:
    sent = folder.publish("node-1", 0)
    beside = (folder.root / sent.key).parent
    (beside / "desktop.ini").write_text("[.ShellClassInfo]")
    (beside / "r000000-s0.0.notes.txt").write_text("x")
    (beside / "r000000-s0.0.zzzzzzzzzzzz.msgpack").write_text("x")
    received = collect(submissions, 0)
    assert accepted(received) == [sent]
    assert received.rejected == []


def test_files_made_alone_are_late_and_leave_the_round_open(folder: Folder, submissions: Submissions) -> None:
    alone = publish(folder, "node-1", 1, step=4, alone=True)
    sent = publish(folder, "node-1", 1, step=5)
    received = collect(submissions, 1)
    assert (accepted(received), received.late) == ([sent], [alone])


def test_a_step_counts_once_whatever_its_round(folder: Folder, submissions: Submissions) -> None:
    first = publish(folder, "node-1", 0, step=7)
    again = publish(folder, "node-1", 1, step=7, reward=0.25)
    assert accepted(collect(submissions, 0)) == [first]
    received = collect(submissions, 1)
    assert (accepted(received), received.superseded) == ([], [again])
    assert [m.node for m in received.missing(MEMBERS)] == ["node-2"]


def test_files_of_any_of_a_nodes_incarnations_count_once(folder: Folder, submissions: Submissions) -> None:
    first = folder.publish("node-1", 0)
    payload, place = msgspec.msgpack.encode(round_file()), {"round": 0, "stage": 0, "attempt": 1}
    sent = Publication(node="node-1", incarnation="ffffffff", payload=payload, **place)
    later = publish_round_file(folder.experiment, sent)
    received = Received()
    both = [Listing("node-1", "ffffffff", 0), Listing("node-1", incarnation("node-1"), 0)]
    submissions.collect(both, turn(0), received)
    assert [ref.key for ref in accepted(received)] == [later.key]
    assert [ref.key for ref in received.superseded] == [first.key]


def test_files_of_the_bucket_before_are_late(folder: Folder, submissions: Submissions) -> None:
    old, new = publish(folder, "node-1", 499), publish(folder, "node-1", 500)
    peer = Peer(Registration("node-1", incarnation("node-1"), "w", "", {}, ""), [incarnation("node-1")])
    received = collect(submissions, 500, at=listings_of_round(peer, 500))
    assert (accepted(received), received.late) == ([new], [old])


@pytest.mark.parametrize(("number", "listings"), [(0, 1), (300, 1), (500, 2), (515, 2), (516, 1)])
def test_a_look_for_a_round_is_a_listing_or_two_a_life(number: int, listings: int) -> None:
    peer = Peer(Registration("node-1", "0000000f", "w", "", {}, ""), ["0000000e", "0000000f"])
    assert len(listings_of_round(peer, number)) == 2 * listings


def test_what_a_predecessor_answered_is_not_looked_at_again(folder: Folder, submissions: Submissions) -> None:
    mine, late = publish(folder, "node-1", 3), publish(folder, "node-2", 2)
    submissions.restore([recorded(folder, 3, [mine], [late])], floor=2)
    again = folder.publish("node-1", 3, attempt=1)
    received = collect(submissions, 4)
    assert (accepted(received), received.late) == ([], [])
    assert [ref.key for ref in received.superseded] == [again.key]
    assert submissions.is_answered("node-2", 2)


def test_files_before_the_log_are_answered_when_asked_for(folder: Folder, submissions: Submissions) -> None:
    old = publish(folder, "node-1", 1)
    submissions.restore([], floor=3)
    assert collect(submissions, 4) == Received()
    received = collect(submissions, 4, at=[Listing("node-1", incarnation("node-1"), 1, frozenset({1}))])
    assert received.late == [old]


def test_what_another_coordinator_has_accepted_is_late_here(folder: Folder, submissions: Submissions) -> None:
    one, two = publish(folder, "node-1", 0), publish(folder, "node-2", 0)
    received = collect(submissions, 0, at=looks(MEMBERS[:1], 0))
    assert accepted(received) == [one]
    submissions.acknowledge(recorded(folder, 0, [one, two]), received)
    assert (accepted(received), received.late) == ([], [one])
    assert collect(submissions, 0, received).late == [one, two]
    assert accepted(received) == []


def test_async_recent_files_count_and_several_of_a_node(folder: Folder, submissions: Submissions) -> None:
    sent = [publish(folder, "node-1", number, step=step) for number, step in ((5, 1), (6, 2), (9, 3), (9, 4))]
    early = publish(folder, "node-1", 11, step=5)
    received = collect(submissions, 10, at=looks(MEMBERS[:1], 10), staleness=4)
    assert received.late == sent[:1]
    assert sorted(accepted(received), key=lambda ref: ref.step) == sent[1:]
    assert early not in accepted(received)


def test_when_no_round_will_open_again_everything_is_late(folder: Folder, submissions: Submissions) -> None:
    sent = [publish(folder, "node-1", number) for number in (2, 3, 9)]
    received = Received()
    submissions.collect(looks(MEMBERS[:1], 3), DueStage(Moment(3), over=True), received)
    assert received.late == sent


def test_with_no_stage_open_a_file_of_the_next_round_waits(folder: Folder, submissions: Submissions) -> None:
    old, new = publish(folder, "node-1", 2), publish(folder, "node-1", 3)
    received = Received()
    submissions.collect(looks(MEMBERS[:1], 3), DueStage(Moment(3)), received)
    assert received.late == [old]
    assert accepted(collect(submissions, 3)) == [new]


def test_what_is_remembered_of_files_and_rounds_is_bounded(folder: Folder, submissions: Submissions) -> None:
    history, node = RoundHistory(), MEMBERS[0].node
    for number in range(0, 3 * REMEMBERED_ROUNDS, 100):
        key = folder.paths.round_file(node, incarnation(node), number, 0, 0, "ab" * 32)
        ref = FileRef(node, incarnation(node), key, "ab" * 32, 1, number)
        submissions.restore([recorded(folder, number, [ref])], 0)
        submissions.collect([], turn(number), Received())
    for number in range(2 * KEPT):
        history.closed(Moment(number), (), ())
    kept = [submissions._settled, submissions._answered, submissions._contents, submissions._counted]
    assert {len(noted) for noted in kept} == {REMEMBERED_ROUNDS // 100 + 1}
    assert not submissions.is_answered(node, 0)
    assert submissions.is_answered(node, 3 * REMEMBERED_ROUNDS - 100)
    assert len(history.rewards()) == KEPT


def test_a_step_counted_in_a_forgotten_round_counts_once(folder: Folder, submissions: Submissions) -> None:
    publish(folder, "node-1", 0, step=7)
    assert len(accepted(collect(submissions, 0))) == 1
    far = 5 * REMEMBERED_ROUNDS
    again = publish(folder, "node-1", far, step=7)
    fresh = publish(folder, "node-2", far, step=7)
    received = collect(submissions, far)
    assert (accepted(received), received.superseded) == ([fresh], [again])


def test_a_forgotten_file_is_answered_when_asked_for(folder: Folder, submissions: Submissions) -> None:
    old = publish(folder, "node-1", 3)
    assert accepted(collect(submissions, 3)) == [old]
    far = 5 * REMEMBERED_ROUNDS
    assert collect(submissions, far) == Received()
    node, life = MEMBERS[0].node, MEMBERS[0].incarnation
    received = collect(submissions, far, at=[Listing(node, life, 3)])
    assert received == Received()
    submissions.collect([Listing(node, life, 3, frozenset({3}))], turn(far), received)
    assert received.superseded == [old]
    assert submissions.is_answered(node, 3)
