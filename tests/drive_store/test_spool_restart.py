"""The spool after a restart: what a process that was killed leaves, and what the next one makes of it."""

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

from drive_store import ExperimentStore, Spool, Store, StoreFull, payload_sha256
from drive_store.names import new_incarnation
from drive_store.testing import Faults, FaultyStore

Reopen = Callable[[str], Spool]


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
def test_a_fate_that_was_cut_off_leaves_the_one_before(
    cut: int, spool: Spool, own: Path, reopen: Reopen
) -> None:
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
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock
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


HELD = 40
ROUNDS = 3


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads take turns as often as the interpreter can let them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_readers_meet_no_entry_that_is_gone(hurried: None, spool: Spool) -> None:
    """A heartbeat says what waits, whatever the trainer does meanwhile."""
    problems: list[str] = []
    done = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(_read, spool, done, problems) for _ in range(2)]
        try:
            _write(spool)
        finally:
            done.set()
    assert [reader.result() for reader in readers] == [None, None]
    assert (problems, spool.entries()) == ([], [])


def _write(spool: Spool) -> None:
    """What a trainer does: hold, send, take answers, drop what a checkpoint holds."""
    for first in range(0, ROUNDS * HELD, HELD):
        steps = range(first, first + HELD)
        for step in steps:
            hold(spool, step)
            file = spool.send(step)
            assert spool.settle(file.sha256, "accepted", file.key)
        for step in steps:
            spool.release(step)


def _read(spool: Spool, done: threading.Event, problems: list[str]) -> None:
    while not done.is_set() and not problems:
        steps = [entry.step for entry in spool.entries()]
        waiting = [entry.step for entry in spool.unanswered()]
        found = [spool.bytes_waiting >= 0, spool.wait_s >= 0, steps == sorted(steps)]
        if not all(found) or waiting != sorted(waiting):
            problems.append(f"{steps} {waiting} {found}")
