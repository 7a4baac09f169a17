"""The spool: held on the own disk, published once per name, kept until answered, and found after a kill."""

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import pytest
from spool_for_tests import PATHS, RETRY_S, A, B, Clock, hold, in_store

from drive_store import ExperimentStore, NameTaken, Spool, Store, StoreFull, StoreUnavailable, payload_sha256
from drive_store.names import new_incarnation
from drive_store.outbox import percentile_99
from drive_store.testing import Faults, FaultyStore

Reopen = Callable[[str], Spool]


def test_what_is_held_is_found_by_the_next_process(spool: Spool, reopen: Reopen) -> None:
    entry = hold(spool)
    assert entry.sha256 == payload_sha256(b"rollouts5")
    assert reopen(B).entries() == [entry]
    assert hold(spool) is entry
    with pytest.raises(NameTaken, match="step 5"):
        hold(spool, payload=b"others")


def test_sent_once_and_answered_once(spool: Spool, store: Store) -> None:
    entry = hold(spool)
    file = spool.send(5)
    assert spool.send(5) == file
    assert spool.retry_due() == []
    assert in_store(store, entry) == [file.key] == list(entry.keys)
    assert store.size(file.key) == file.size == entry.size
    assert spool.bytes_waiting == len(b"rollouts5tokens")
    assert not spool.settle(payload_sha256(b"of another"), "accepted")
    assert spool.settle(file.sha256, "accepted", file.key)
    assert not spool.settle(file.sha256, "superseded")
    assert (entry.outcome, spool.unanswered(), spool.bytes_waiting) == ("accepted", [], 0)


def test_overdue_is_published_under_a_new_name(spool: Spool, store: Store, clock: Clock) -> None:
    entry = hold(spool)
    first = spool.send(5)
    clock.now += RETRY_S - 1
    assert spool.retry_due() == []
    clock.now += 1
    (second,) = spool.retry_due()
    assert second.key != first.key
    assert second.sha256 == first.sha256
    assert in_store(store, entry) == [first.key, second.key]
    assert spool.retry_due() == []
    assert spool.settle_key(first.key.replace(".rollouts", " (1).rollouts"), "late")
    assert entry.outcome == "late"


def test_the_wait_grows_with_the_delay_of_answers(spool: Spool, clock: Clock) -> None:
    for step in range(3):
        hold(spool, step)
        file = spool.send(step)
        clock.now += 50 + step
        assert spool.settle(file.sha256, "accepted")
    assert spool.wait_s == 3 * 52
    for step, named, wait_s in ((3, False, 3 * 52), (4, True, 3 * 60)):
        hold(spool, step)
        spool.send(step)
        clock.now += 3 * 52
        (second,) = spool.retry_due()
        clock.now += 60
        # Which of the two was seen is not said, or the delay counts from the name that was answered.
        assert spool.settle(second.sha256, "accepted", second.key if named else "")
        assert spool.wait_s == wait_s


def test_the_percentile() -> None:
    assert percentile_99([]) == 0
    assert percentile_99(range(50)) == 49
    assert percentile_99(range(1, 201)) == 198


@pytest.mark.parametrize("fault", ["gone", "short"])
def test_a_lost_write_is_repeated_soon(fault: str, spool: Spool, store: Store, clock: Clock) -> None:
    entry = hold(spool)
    file = spool.send(5)
    (Path(store.root) / file.key).write_bytes(b"torn")
    if fault == "gone":
        store.remove(file.key)
    assert spool.retry_due() == []
    clock.now += RETRY_S / 4
    (second,) = spool.retry_due()
    assert in_store(store, entry) == [second.key]


def test_a_file_that_others_find_damaged_is_repeated(spool: Spool, store: Store) -> None:
    entry = hold(spool)
    first = spool.send(5)
    assert spool.damaged(first.key)
    (second,) = spool.retry_due()
    assert second.key != first.key
    assert spool.retry_due() == []
    assert not spool.damaged(first.key)
    assert in_store(store, entry) == [first.key, second.key]


def test_uploaded_files_are_given_longer(
    spool: Spool, store: FaultyStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploaded = Mock(return_value=True)
    monkeypatch.setattr(store, "uploaded", uploaded)
    hold(spool)
    file = spool.send(5)
    clock.now += 2 * RETRY_S
    assert spool.retry_due() == spool.retry_due() == []
    uploaded.assert_called_once_with(file.key)
    clock.now += RETRY_S
    assert len(spool.retry_due()) == 1


def test_a_store_that_is_away_is_tried_again(spool: Spool, store: FaultyStore, clock: Clock) -> None:
    entries = [hold(spool, step) for step in (5, 6)]
    store.faults = Faults(unavailable=True)
    with pytest.raises(StoreUnavailable):
        spool.send(5)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            spool.retry_due()
    store.faults = Faults()
    assert [file.key for file in spool.retry_due()] == [entry.keys[0] for entry in entries]
    assert [len(entry.keys) for entry in entries] == [1, 1]
    assert spool.retry_due() == []


def test_a_replaced_root_is_not_written_into(spool: Spool, store: FaultyStore) -> None:
    hold(spool)
    store.remove(PATHS.experiment_json)
    with pytest.raises(StoreUnavailable, match="unmounted"):
        spool.retry_due()
    assert store.names(PATHS.rollouts_parent) == []


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "own"


def test_before_hold_returned(spool: Spool, own: Path, reopen: Reopen) -> None:
    (own / "n1.000000005.entry.part").write_bytes(b"half of an ent")
    (own / "n1.000000004.fate").write_bytes(b"of an entry that was dropped")
    again = reopen(B)
    assert (again.entries(), again.problems, list(own.iterdir())) == ([], [], [])


def test_between_hold_and_send(spool: Spool, store: Store, reopen: Reopen) -> None:
    hold(spool)
    again = reopen(B)
    (file,) = again.retry_due()
    assert file.key.startswith(PATHS.rollouts_folder("n1", B))
    assert in_store(store, again.entries()[0]) == [file.key]
    assert again.entries()[0].incarnation == A


def test_during_send(spool: Spool, store: FaultyStore, reopen: Reopen) -> None:
    hold(spool)
    store.faults = Faults(full=True)
    with pytest.raises(StoreFull):
        spool.send(5)
    store.faults = Faults()
    torn = Path(store.root) / hold(spool).keys[0]
    torn.parent.mkdir(parents=True)
    torn.write_bytes(b"a beginning")
    again = reopen(B)
    (file,) = again.retry_due()
    (entry,) = again.entries()
    assert len(entry.keys) == len(set(entry.keys)) == 2
    assert in_store(store, entry) == [file.key]


def test_between_send_and_settle(spool: Spool, clock: Clock, reopen: Reopen) -> None:
    hold(spool)
    first = spool.send(5)
    asked = reopen(B)
    assert asked.send(5).key != first.key, "a new incarnation sends under its own name when asked"
    assert asked.send(5) == asked.send(5)
    clock.now += 10 * RETRY_S
    again = reopen("0000ffff")
    assert again.retry_due() == []
    clock.now += RETRY_S
    (last,) = again.retry_due()
    (entry,) = again.entries()
    assert entry.keys == (first.key, asked.send(5).key, last.key)
    assert again.settle_key(first.key, "accepted")


def test_after_settle(spool: Spool, own: Path, reopen: Reopen) -> None:
    for step in (5, 6, 7):
        hold(spool, step)
        spool.send(step)
    spool.settle(payload_sha256(b"rollouts5"), "accepted")
    spool.settle(payload_sha256(b"rollouts7"), "late")
    again = reopen(B)
    assert [entry.outcome for entry in again.entries()] == ["accepted", "", "late"]
    again.release(6)
    assert [entry.step for entry in again.entries()] == [6, 7]
    assert [entry.step for entry in again.expire()] == [6]
    third = reopen("0000ffff")
    assert [entry.outcome for entry in third.entries()] == ["expired", "late"]
    third.release(7)
    assert list(own.iterdir()) == []


def test_a_damaged_entry_is_set_aside_and_named(spool: Spool, own: Path, reopen: Reopen) -> None:
    hold(spool, 5)
    hold(spool, 6)
    spool.send(6)
    path = own / "n1.000000005.entry"
    path.write_bytes(path.read_bytes()[:-3])
    (own / "n1.000000006.fate").write_bytes(b"{")
    again = reopen(B)
    assert [entry.step for entry in again.entries()] == [6]
    assert "n1.000000005.entry.damaged" in again.problems[0]
    assert "step 6 is published again" in again.problems[1]
    assert len(again.retry_due()) == 1
    assert reopen("0000ffff").problems == []


def test_nodes_may_share_a_folder(spool: Spool, tea: ExperimentStore, own: Path, reopen: Reopen) -> None:
    hold(spool)
    other = Spool(own, tea, "n1-b", A, retry_s=RETRY_S)
    assert (other.entries(), other.problems) == ([], [])
    assert len(reopen(B).entries()) == 1


def test_a_full_disk_loses_nothing(spool: Spool, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = hold(spool, 5)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(StoreFull, match=r"own disk.*No space"):
            hold(spool, 6)
    assert (spool.entries(), len([*own.iterdir()])) == ([entry], 1)
    assert hold(spool, 6).step == 6


def test_fates_that_cannot_be_noted_stop_nothing(spool: Spool, own: Path) -> None:
    entry = hold(spool)
    (own / "n1.000000005.fate").mkdir()
    file = spool.send(5)
    assert spool.settle(file.sha256, "accepted")
    assert entry.outcome == "accepted"
    assert len(spool.problems) == 1
    assert "own disk" in spool.problems[0]


@pytest.mark.parametrize("cut", [1, 30, 100])
def test_a_fate_cut_off_leaves_the_one_before(cut: int, spool: Spool, own: Path, reopen: Reopen) -> None:
    hold(spool)
    file = spool.send(5)
    spool.settle(file.sha256, "accepted")
    path = own / "n1.000000005.fate"
    path.write_bytes(path.read_bytes()[:-cut])
    again = reopen(B)
    (entry,) = again.entries()
    assert (entry.keys, entry.outcome, entry.size, again.problems) == ((file.key,), "", file.size, [])
    assert again.settle(file.sha256, "late")
    assert reopen(B).entries()[0].outcome == "late"


KILLED = """
import sys
from pathlib import Path
from drive_store import ExperimentPaths, ExperimentStore, Spool, Store
folder, root = map(Path, sys.argv[1:])
store = Store(str(root))
spool = Spool(folder, ExperimentStore(store, ExperimentPaths("tea")), "n1", "0123abcd", retry_s=120)
for step in range(10**6):
    spool.hold(round=step, stage=0, step=step, epoch=1, payload=b"%d" % step * 50000)
    print(step, flush=True)
    spool.send(step)
"""


def test_a_killed_process_loses_nothing_that_it_held(store: FaultyStore, own: Path, reopen: Reopen) -> None:
    command = [sys.executable, "-c", KILLED, str(own), store.root]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(8)]
        process.send_signal(signal.SIGKILL)
        told += [int(line) for line in process.stdout]
    again = reopen(new_incarnation())
    assert again.problems == []
    assert [entry.step for entry in again.entries()][: len(told)] == told
    for entry in again.entries():
        assert entry.payload == b"%d" % entry.step * 50000


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads take turns as often as the interpreter can let them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_readers_meet_no_entry_that_is_gone(hurried: None, spool: Spool) -> None:
    """A heartbeat says what waits, whatever the trainer does meanwhile: hold, send, take answers, drop."""
    problems: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set() and not problems:
            steps = [entry.step for entry in spool.entries()]
            waiting = [entry.step for entry in spool.unanswered()]
            found = [spool.bytes_waiting >= 0, spool.wait_s >= 0, steps == sorted(steps)]
            if not all(found) or waiting != sorted(waiting):
                problems.append(f"{steps} {waiting} {found}")

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for first in (0, 40, 80):
                for step in range(first, first + 40):
                    hold(spool, step)
                    file = spool.send(step)
                    assert spool.settle(file.sha256, "accepted", file.key)
                for step in range(first, first + 40):
                    spool.release(step)
        finally:
            done.set()
    assert [reader.result() for reader in readers] == [None, None]
    assert (problems, spool.entries()) == ([], [])
