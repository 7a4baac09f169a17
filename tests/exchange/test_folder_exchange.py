"""Rollouts through the folder: one write per node and round, and readings by the names in the state log."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest
from folder_for_tests import QUICK, Folder, closed, incarnation, opens, round_file

from drive_store import StoreUnavailable, Valid, read_round_file
from swarm_ray.config import PaceConfig
from swarm_ray.errors import StopRequested
from swarm_ray.exchange.folder import FolderExchange
from swarm_ray.records import FileRef, Refusal
from swarm_ray.sapo.node import Node

PATIENT = PaceConfig(poll_min_s=0.001, poll_max_s=0.01, settle_s=60.0, max_s=5.0)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def exchange(folder: Folder, pace: PaceConfig = QUICK) -> FolderExchange:
    state, store, _ = folder.follow(pace)
    return FolderExchange(store, folder.paths, state, pace)


def node(name: str) -> Node:
    return Node(name, incarnation(name), None)  # type: ignore[arg-type]


def test_what_is_published_is_gathered(folder: Folder) -> None:
    for name in ("node-1", "node-2"):
        folder.join(name)
    file = round_file(step=4, reward=0.25)
    exchange(folder).publish(node("node-1"), 4, file)
    sent = folder.publish("node-1", 4, msgspec.msgpack.encode(file))  # the same name and bytes
    (found,) = exchange(folder).gather(closed(4, (sent,)), without=["node-2"])
    assert (found.node, found.rollouts, found.refused) == ("node-1", file.rollouts, "")


def test_a_node_writes_once_a_round_and_lists_nothing(folder: Folder) -> None:
    state, store, _ = folder.follow()
    there = FolderExchange(store, folder.paths, state, QUICK)
    members = [folder.join(f"node-{n}") for n in range(6)]
    for number in range(3):
        for member in members[:2]:
            there.publish(node(member.node), number, round_file(step=number))
        refs = tuple(folder.publish(m.node, number) for m in members)
        assert len(there.gather(closed(number, refs), without=["node-0", "node-1"])) == 4
    done = store.operations
    assert (done.creates, done.overwrites, done.lists) == (6 + 2, 0, 0)  # 2: before the buckets were there
    assert done.folders == 2


def test_own_files_are_not_read(folder: Folder) -> None:
    refs = tuple(folder.publish(folder.join(f"node-{n}").node, 0) for n in range(3))
    state, store, _ = folder.follow()
    before = store.operations.reads
    FolderExchange(store, folder.paths, state, QUICK).gather(closed(0, refs), without=["node-0", "node-2"])
    assert store.operations.reads - before == 1


def test_what_the_coordinator_refused_is_named_and_not_read(folder: Folder) -> None:
    refusals = (Refusal("node-1", "key", "Corrupt: noise"), Refusal("node-2", "key", "not a round file"))
    found = exchange(folder).gather(closed(0, (), refusals), without=["node-2"])
    assert [(f.node, f.refused, f.rollouts) for f in found] == [("node-1", "Corrupt: noise", ())]


def test_another_content_than_the_record_names_is_refused(folder: Folder) -> None:
    folder.join("node-1")
    sent = folder.publish("node-1", 0)
    lie = msgspec.structs.replace(sent, sha256="ab" * 32)
    (found,) = exchange(folder).gather(closed(0, (lie,)), without=[])
    assert found.refused.startswith("Rejected")


def test_a_file_that_never_becomes_visible_is_refused_after_its_time(folder: Folder) -> None:
    key = folder.paths.round_file("node-1", incarnation("node-1"), 0, 0, 0, "ab" * 32)
    (found,) = exchange(folder).gather(
        closed(0, (FileRef("node-1", incarnation("node-1"), key, "ab" * 32, 9),)), without=[]
    )
    assert found.refused.startswith("NotYet")


def test_a_file_that_becomes_visible_late_is_waited_for(folder: Folder) -> None:
    folder.join("node-1")
    sent = folder.publish("node-1", 0)
    place, aside = folder.root / sent.key, folder.root / "aside"
    place.rename(aside)
    threading.Timer(0.05, aside.rename, [place]).start()
    (found,) = exchange(folder, PATIENT).gather(closed(0, (sent,)), without=[])
    assert (found.refused, len(found.rollouts)) == ("", 1)


def test_a_stop_ends_the_wait_for_a_file(folder: Folder) -> None:
    state, store, stop = folder.follow(PATIENT)
    stop.set()
    key = folder.paths.round_file("node-1", incarnation("node-1"), 0, 0, 0, "ab" * 32)
    ref = FileRef("node-1", incarnation("node-1"), key, "ab" * 32, 9)
    with pytest.raises(StopRequested):
        FolderExchange(store, folder.paths, state, PATIENT).gather(closed(0, (ref,)), without=[])


def test_nothing_is_written_where_the_experiment_has_gone(folder: Folder) -> None:
    there = exchange(folder)
    folder.join("node-1")
    (folder.root / folder.paths.experiment_json).unlink()
    with pytest.raises(StoreUnavailable):
        there.publish(node("node-1"), 0, round_file())
    assert not list(folder.root.rglob("r000000*"))


def test_the_files_say_whom_they_obey(folder: Folder) -> None:
    folder.append(opens=opens(0, "node-1"))
    folder.join("node-1")
    state, store, _ = folder.follow()
    state.poll()
    one = node("node-1")
    one.step = 7
    FolderExchange(store, folder.paths, state, QUICK).publish(one, 0, round_file(step=7))
    (path,) = folder.root.rglob("r000000*")
    reading = read_round_file(
        folder.store,
        path.relative_to(folder.root).as_posix(),
        experiment="small",
        node="node-1",
        incarnation=incarnation("node-1"),
        sha256=None,
        max_payload=1 << 20,
    )
    assert isinstance(reading, Valid)
    assert (reading.header.epoch, reading.header.sequence, reading.header.round) == (1, 7, 0)
