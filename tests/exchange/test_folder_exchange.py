"""Rollouts through the folder: one write per node and round, and readings by the names in the state log.

Of a stranger's round file, whatever its bytes, comes either a bounded, sensible file or `MalformedFile`.
"""

import math
import threading
from typing import Any

import msgspec
import pytest
from folder_for_tests import Folder, closed, incarnation, opens, round_file
from hypothesis import given
from hypothesis import strategies as st

from drive_store import Corrupt, ExperimentStore, NotYet, Rejected, Store, Valid, read_round_file
from swarm_ray.config.schema import PaceConfig
from swarm_ray.errors import MalformedFile, StopRequested
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.exchange.validation import (
    MAX_COMPLETIONS,
    MAX_ROLLOUTS,
    MAX_TEXT,
    decode_round_file,
    refusal_reason,
)
from swarm_ray.machine.cancellation import Cancellation
from swarm_ray.records.refusals import RefusalKind
from swarm_ray.records.rollouts import Completion, QuestionRef, Rollout, RoundFile, StepCounters
from swarm_ray.records.state import Answers, FileRef, Refusal
from swarm_ray.sapo.node import Node

Followed = tuple[StateFollower, Store, Cancellation]
PATIENT = PaceConfig(poll_min_s=0.001, poll_max_s=0.01, settle_s=60.0, max_s=5.0)


def node(name: str, step: int = 0) -> Node:
    made = Node(name, incarnation(name), None)  # type: ignore[arg-type]
    made.step = step
    return made


def absent(folder: Folder) -> FileRef:
    """A file of node-1 that is not there."""
    life = incarnation("node-1")
    return FileRef("node-1", life, folder.paths.round_file("node-1", life, 0, 0, 0, "ab" * 32), "ab" * 32, 9)


@pytest.fixture
def followed(folder: Folder) -> Followed:
    """A view of the log that has seen round 0 open for node-1."""
    folder.join("node-1")
    folder.append(opens=opens(0, "node-1"))
    found = folder.follow()
    found[0].poll()
    return found


def test_what_is_published_is_gathered(folder: Folder) -> None:
    for name in ("node-1", "node-2"):
        folder.join(name)
    file = round_file(step=4, reward=0.25)
    there, _, _ = folder.exchange(["node-1"])
    there.publish(node("node-1"), 4, file, [])
    sent = folder.publish("node-1", 4, msgspec.msgpack.encode(file))  # the same name and bytes
    (found,) = folder.exchange()[0].gather(closed(4, (sent,)), without=["node-2"])
    assert (found.node, found.rollouts, found.refused) == ("node-1", file.rollouts, "")


def test_a_node_writes_once_a_round_and_lists_nothing(folder: Folder) -> None:
    there, store, _ = folder.exchange(["node-0", "node-1"])
    members = [folder.join(f"node-{n}") for n in range(6)]
    for number in range(3):
        for member in members[:2]:
            there.publish(node(member.node, number), number, round_file(step=number), [])
        own = [FileRef(m.node, m.incarnation, "own", "", 9) for m in members[:2]]
        refs = (*own, *(folder.publish(m.node, number) for m in members[2:]))
        reads = store.operations.reads
        assert len(there.gather(closed(number, refs), without=["node-0", "node-1"])) == 4
        assert store.operations.reads - reads == 4, "own files are not read"
    done = store.operations
    assert (done.creates, done.overwrites, done.lists) == (6 + 2, 0, 0)  # 2: before the buckets were there
    assert done.folders == 2


def test_what_the_coordinator_refused_is_named_and_not_read(folder: Folder) -> None:
    refusals = (Refusal("node-1", "key", "Corrupt: noise"), Refusal("node-2", "key", "not a round file"))
    found = folder.exchange()[0].gather(closed(0, rejected=refusals), without=["node-2"])
    assert [(f.node, f.refused, f.rollouts) for f in found] == [("node-1", "Corrupt: noise", ())]


def test_another_content_than_the_record_names_is_refused(folder: Folder) -> None:
    folder.join("node-1")
    sent = folder.publish("node-1", 0)
    lie = msgspec.structs.replace(sent, sha256="ab" * 32)
    (found,) = folder.exchange()[0].gather(closed(0, (lie,)), without=[])
    assert found.refused.startswith("Rejected")


def test_a_file_that_never_becomes_visible_is_refused_after_its_time(folder: Folder) -> None:
    (found,) = folder.exchange()[0].gather(closed(0, (absent(folder),)), without=[])
    assert found.refused.startswith("NotYet")


def test_a_file_that_becomes_visible_late_is_waited_for(folder: Folder) -> None:
    folder.join("node-1")
    sent = folder.publish("node-1", 0)
    place, aside = folder.root / sent.key, folder.root / "aside"
    place.rename(aside)
    threading.Timer(0.05, aside.rename, [place]).start()
    (found,) = folder.exchange(pace=PATIENT)[0].gather(closed(0, (sent,)), without=[])
    assert (found.refused, len(found.rollouts)) == ("", 1)


def test_a_stop_ends_the_wait_for_a_file(folder: Folder) -> None:
    followed = folder.follow(PATIENT)
    followed[2].cancel()
    with pytest.raises(StopRequested):
        folder.exchange(pace=PATIENT, followed=followed)[0].gather(closed(0, (absent(folder),)), without=[])


def test_where_the_experiment_has_gone_a_file_waits_on_the_own_disk(folder: Folder) -> None:
    there, _, spools = folder.exchange(["node-1"])
    folder.join("node-1")
    sentinel = folder.root / folder.paths.experiment_json
    aside = sentinel.rename(folder.root / "aside")
    there.publish(node("node-1"), 0, round_file(), [])
    assert not list(folder.root.rglob("r000000*"))
    assert (there.unanswered("node-1"), there.bytes_waiting > 0) == ((0,), True)
    aside.rename(sentinel)
    there.retry()
    (path,) = folder.root.rglob("r000000*")
    assert spools["node-1"].entries()[0].keys == (path.relative_to(folder.root).as_posix(),)


def test_every_answer_of_the_log_reaches_its_file(folder: Folder, followed: Followed) -> None:
    there, _, spools = folder.exchange(["node-1"], followed=followed)
    for step in range(4):
        there.publish(node("node-1", step), step, round_file(step=step), [])
    keys = [e.keys[0] for e in spools["node-1"].entries()]
    hashes = [e.sha256 for e in spools["node-1"].entries()]
    refs = [FileRef("node-1", incarnation("node-1"), k, h, 9) for k, h in zip(keys, hashes, strict=True)]
    assert there.unanswered("node-1") == (0, 1, 2, 3)
    stage = closed(1, (refs[0],), rejected=(Refusal("node-1", keys[1], "not a round file"),))
    folder.append(closed=stage, opens=opens(2, "node-1"))
    folder.append("draining", answers=Answers(late=(refs[2],)))
    followed[0].poll()
    assert [e.outcome for e in spools["node-1"].entries()] == ["accepted", "rejected", "late", ""]
    there.release("node-1", 2)
    assert [e.step for e in spools["node-1"].entries()] == [2, 3]
    assert there.give_up() == {"node-1": [3]}


def test_the_files_say_whom_they_obey(folder: Folder, followed: Followed) -> None:
    there, _, _ = folder.exchange(["node-1"], followed=followed)
    there.publish(node("node-1", 7), 0, round_file(step=7), [])
    (path,) = folder.root.rglob("r000000*")
    store, key = ExperimentStore(folder.store, folder.paths), path.relative_to(folder.root).as_posix()
    origin = {"node": "node-1", "incarnation": incarnation("node-1")}
    reading = read_round_file(store, key, **origin, sha256=None, max_payload=1 << 20)
    assert isinstance(reading, Valid)
    assert (reading.header.epoch, reading.header.sequence, reading.header.round) == (1, 7, 0)


def test_a_file_that_was_damaged_on_its_way_is_published_again(folder: Folder, followed: Followed) -> None:
    there, _, spools = folder.exchange(["node-1"], followed=followed)
    there.publish(node("node-1"), 0, round_file(), [])
    (key,) = spools["node-1"].entries()[0].keys
    folder.append(closed=closed(0, rejected=(Refusal("node-1", key, "Corrupt: a hash that differs"),)))
    followed[0].poll()
    there.retry()
    assert len(spools["node-1"].entries()[0].keys) == 2
    assert len(list(folder.root.rglob("r000000*"))) == 2


REF = QuestionRef("coin", 1, 0, "0" * 16)
ROLLOUT = Rollout(REF, (Completion("7", 1.0, finished=True), Completion("", 0.0, finished=False)))
FILE = RoundFile(3, (ROLLOUT,), 0.5, 1, 20, "node-1", StepCounters(offered=2, used_from={"node-1": 1}))


def changed(**fields: Any) -> bytes:
    return msgspec.msgpack.encode(msgspec.to_builtins(FILE, builtin_types=(bytes,)) | fields)


def test_a_file_comes_back_as_it_was_sent() -> None:
    assert decode_round_file(msgspec.msgpack.encode(FILE)) == FILE
    assert decode_round_file(changed(rollouts=[], informative=0)).rollouts == ()


def test_any_number_of_completions_within_reason_is_welcome() -> None:
    for count in (1, 3, MAX_COMPLETIONS):
        rollout = Rollout(REF, ROLLOUT.completions[:1] * count)
        assert decode_round_file(changed(rollouts=[rollout])).rollouts == (rollout,)


WRONG: dict[str, list[Any]] = {
    "rollouts": [
        [ROLLOUT] * (MAX_ROLLOUTS + 1),
        [Rollout(REF, ())],
        [Rollout(REF, ROLLOUT.completions[:1] * (MAX_COMPLETIONS + 1))],
        [Rollout(REF, (Completion("7" * (MAX_TEXT + 1), 1.0, finished=True),))],
        "none",
    ],
    "reward": [math.nan, math.inf, -0.01, 1.01, 1e308, "much"],
    "step": [-1, 2**62, 0.5],
    "informative": [-1, 2],
    "generated_tokens": [-1, 2**62, None],
    "vote": [7],
    "previous": [
        {"offered": "many"},
        StepCounters(offered=-1),
        StepCounters(used=2**62),
        StepCounters(rejected={"other text": 2**62}),
        StepCounters(rejected={"other text": -5}),
    ],
}


@pytest.mark.parametrize("field", WRONG)
def test_what_no_honest_node_says_is_refused(field: str) -> None:
    for value in WRONG[field]:
        with pytest.raises(MalformedFile):
            decode_round_file(changed(**{field: value}))


@pytest.mark.parametrize("missing", ["step", "rollouts", "reward", "informative", "generated_tokens"])
def test_a_missing_field_is_named(missing: str) -> None:
    fields = msgspec.to_builtins(FILE, builtin_types=(bytes,))
    del fields[missing]
    with pytest.raises(MalformedFile, match=missing):
        decode_round_file(msgspec.msgpack.encode(fields))


def test_fields_that_a_later_version_adds_do_no_harm() -> None:
    assert decode_round_file(changed(something_new=[1, 2, 3])) == FILE


@given(st.binary(max_size=300))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(MalformedFile):
        decode_round_file(noise)


@given(st.data())
def test_a_damaged_file_is_refused_or_sensible(data: st.DataObject) -> None:
    payload = bytearray(msgspec.msgpack.encode(FILE))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(payload)))
    try:
        file = decode_round_file(bytes(payload[:cut]))
    except MalformedFile:
        return
    assert 0 <= file.reward <= 1
    assert all(1 <= len(r.completions) <= MAX_COMPLETIONS for r in file.rollouts)


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(MalformedFile):
        decode_round_file(b"\x91" * 200_000)


@pytest.mark.parametrize(
    ("reading", "reason", "kind", "missing"),
    [
        (NotYet("half"), "NotYet: half", RefusalKind.NOT_YET, True),
        (Corrupt("noise"), "Corrupt: noise", RefusalKind.CORRUPT, False),
        (Rejected("too large"), "Rejected: too large", RefusalKind.REJECTED, False),
    ],
)
def test_a_file_that_cannot_be_read_is_stored_with_its_kind(
    reading: NotYet | Corrupt | Rejected, reason: str, kind: RefusalKind, *, missing: bool
) -> None:
    assert refusal_reason(reading) == reason
    assert (RefusalKind.of(reason), kind.is_missing) == (kind, missing)
    fetched = RefusalKind.of("could not be fetched directly; its owner was asked for it")
    assert (fetched, fetched.is_missing) == (RefusalKind.NOT_FETCHED, True)
    assert (RefusalKind.of("other seed"), RefusalKind.OTHER.is_missing) == (RefusalKind.OTHER, False)
