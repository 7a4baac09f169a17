"""Rollouts through the folder: one write per node and round, and readings by the names in the state log."""

import threading

import msgspec
import pytest
from folder_for_tests import Folder, closed, incarnation, opens, round_file

from drive_store import ExperimentStore, Valid, read_round_file
from swarm_ray.config.schema import PaceConfig
from swarm_ray.errors import StopRequested
from swarm_ray.records.state import Answers, FileRef, Refusal
from swarm_ray.sapo.node import Node

PATIENT = PaceConfig(poll_min_s=0.001, poll_max_s=0.01, settle_s=60.0, max_s=5.0)


def node(name: str) -> Node:
    return Node(name, incarnation(name), None)  # type: ignore[arg-type]


def at(one: Node, step: int) -> Node:
    one.step = step
    return one


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
            there.publish(at(node(member.node), number), number, round_file(step=number), [])
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
    key = folder.paths.round_file("node-1", incarnation("node-1"), 0, 0, 0, "ab" * 32)
    (found,) = folder.exchange()[0].gather(
        closed(0, (FileRef("node-1", incarnation("node-1"), key, "ab" * 32, 9),)), without=[]
    )
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
    key = folder.paths.round_file("node-1", incarnation("node-1"), 0, 0, 0, "ab" * 32)
    ref = FileRef("node-1", incarnation("node-1"), key, "ab" * 32, 9)
    with pytest.raises(StopRequested):
        folder.exchange(pace=PATIENT, followed=followed)[0].gather(closed(0, (ref,)), without=[])


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


def test_every_answer_of_the_log_reaches_its_file(folder: Folder) -> None:
    followed = folder.follow()
    there, _, spools = folder.exchange(["node-1"], followed=followed)
    folder.join("node-1")
    folder.append(opens=opens(0, "node-1"))
    followed[0].poll()
    for step in range(4):
        there.publish(at(node("node-1"), step), step, round_file(step=step), [])
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


def test_the_files_say_whom_they_obey(folder: Folder) -> None:
    folder.append(opens=opens(0, "node-1"))
    folder.join("node-1")
    followed = folder.follow()
    followed[0].poll()
    there, _, _ = folder.exchange(["node-1"], followed=followed)
    there.publish(at(node("node-1"), 7), 0, round_file(step=7), [])
    (path,) = folder.root.rglob("r000000*")
    reading = read_round_file(
        ExperimentStore(folder.store, folder.paths),
        path.relative_to(folder.root).as_posix(),
        node="node-1",
        incarnation=incarnation("node-1"),
        sha256=None,
        max_payload=1 << 20,
    )
    assert isinstance(reading, Valid)
    assert (reading.header.epoch, reading.header.sequence, reading.header.round) == (1, 7, 0)


def test_a_file_that_was_damaged_on_its_way_is_published_again(folder: Folder) -> None:
    followed = folder.follow()
    there, _, spools = folder.exchange(["node-1"], followed=followed)
    folder.join("node-1")
    folder.append(opens=opens(0, "node-1"))
    followed[0].poll()
    there.publish(node("node-1"), 0, round_file(), [])
    (key,) = spools["node-1"].entries()[0].keys
    folder.append(closed=closed(0, rejected=(Refusal("node-1", key, "Corrupt: a hash that differs"),)))
    followed[0].poll()
    there.retry()
    assert len(spools["node-1"].entries()[0].keys) == 2
    assert len(list(folder.root.rglob("r000000*"))) == 2
