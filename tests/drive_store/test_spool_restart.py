"""The spool after a restart: what a process that was killed leaves, and what the next one makes of it."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from spool_for_tests import PATHS, RETRY_S, A, B, Clock, hold, in_store, open_spool

from drive_store import ExperimentStore, Spool, Store, StoreFull, payload_sha256
from drive_store.names import new_incarnation
from drive_store.testing import Faults, FaultyStore


class TestRestart:
    """What a process that is killed leaves, and what the next one makes of it."""

    @pytest.fixture
    def own(self, tmp_path: Path) -> Path:
        return tmp_path / "own"

    def test_before_hold_returned(self, spool: Spool, store: Store, clock: Clock, own: Path) -> None:
        part = own / "n1.000000005.entry.part"
        part.write_bytes(b"half of an ent")
        (own / "n1.000000004.fate").write_bytes(b"of an entry that was dropped")
        again = open_spool(store, clock, own, B)
        assert (again.entries(), again.problems, list(own.iterdir())) == ([], [], [])

    def test_between_hold_and_send(self, spool: Spool, store: Store, clock: Clock, own: Path) -> None:
        hold(spool)
        again = open_spool(store, clock, own, B)
        (file,) = again.retry_due()
        assert file.key.startswith(PATHS.rollouts_folder("n1", B))
        assert in_store(store, again.entries()[0]) == [file.key]
        assert again.entries()[0].incarnation == A

    def test_during_send(self, spool: Spool, store: FaultyStore, clock: Clock, own: Path) -> None:
        hold(spool)
        store.faults = Faults(full=True)
        with pytest.raises(StoreFull):
            spool.send(5)
        store.faults = Faults()
        torn = Path(store.root) / hold(spool).keys[0]
        torn.parent.mkdir(parents=True)
        torn.write_bytes(b"a beginning")
        again = open_spool(store, clock, own, B)
        (file,) = again.retry_due()
        (entry,) = again.entries()
        assert len(entry.keys) == len(set(entry.keys)) == 2
        assert in_store(store, entry) == [file.key]

    def test_between_send_and_settle(self, spool: Spool, store: Store, clock: Clock, own: Path) -> None:
        hold(spool)
        first = spool.send(5)
        clock.now += 10 * RETRY_S
        again = open_spool(store, clock, own, B)
        assert again.retry_due() == []
        clock.now += RETRY_S
        (second,) = again.retry_due()
        (entry,) = again.entries()
        assert entry.keys == (first.key, second.key)
        assert again.settle_key(first.key, "accepted")

    def test_a_new_incarnation_sends_under_its_own_name_when_asked(
        self, spool: Spool, store: Store, clock: Clock, own: Path
    ) -> None:
        hold(spool)
        first = spool.send(5)
        again = open_spool(store, clock, own, B)
        assert again.send(5).key != first.key
        assert again.send(5) == again.send(5)

    def test_after_settle(self, spool: Spool, store: Store, clock: Clock, own: Path) -> None:
        for step in (5, 6, 7):
            hold(spool, step)
            spool.send(step)
        spool.settle(payload_sha256(b"rollouts5"), "accepted")
        spool.settle(payload_sha256(b"rollouts7"), "late")
        again = open_spool(store, clock, own, B)
        assert [entry.outcome for entry in again.entries()] == ["accepted", "", "late"]
        again.release(6)
        assert [entry.step for entry in again.entries()] == [6, 7]
        assert [entry.step for entry in again.expire()] == [6]
        third = open_spool(store, clock, own, "0000ffff")
        assert [entry.outcome for entry in third.entries()] == ["expired", "late"]
        third.release(7)
        assert list(own.iterdir()) == []

    def test_a_damaged_entry_is_set_aside_and_named(
        self, spool: Spool, store: Store, clock: Clock, own: Path
    ) -> None:
        hold(spool, 5)
        hold(spool, 6)
        spool.send(6)
        path = own / "n1.000000005.entry"
        path.write_bytes(path.read_bytes()[:-3])
        (own / "n1.000000006.fate").write_bytes(b"{")
        again = open_spool(store, clock, own, B)
        assert [entry.step for entry in again.entries()] == [6]
        assert "n1.000000005.entry.damaged" in again.problems[0]
        assert "step 6 is published again" in again.problems[1]
        assert len(again.retry_due()) == 1
        assert open_spool(store, clock, own, "0000ffff").problems == []

    def test_nodes_may_share_a_folder(self, spool: Spool, store: Store, clock: Clock, own: Path) -> None:
        hold(spool)
        other = Spool(own, ExperimentStore(store, PATHS), "n1-b", A, retry_s=RETRY_S, clock=clock)
        assert (other.entries(), other.problems) == ([], [])
        assert len(open_spool(store, clock, own, B).entries()) == 1


def test_a_full_disk_loses_nothing(
    spool: Spool, store: Store, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = hold(spool, 5)

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFull, match=r"own disk.*No space"):
        hold(spool, 6)
    monkeypatch.undo()
    assert spool.entries() == [entry]
    assert len(list((tmp_path / "own").iterdir())) == 1
    assert hold(spool, 6).step == 6


def test_fates_that_cannot_be_noted_stop_nothing(
    spool: Spool, store: Store, clock: Clock, tmp_path: Path
) -> None:
    entry = hold(spool)
    (tmp_path / "own/n1.000000005.fate").mkdir()
    file = spool.send(5)
    assert spool.settle(file.sha256, "accepted")
    assert entry.outcome == "accepted"
    assert len(spool.problems) == 1
    assert "own disk" in spool.problems[0]


@pytest.mark.parametrize("cut", [1, 30, 100])
def test_a_fate_that_was_cut_off_leaves_the_one_before(
    cut: int, spool: Spool, store: Store, clock: Clock, tmp_path: Path
) -> None:
    hold(spool)
    file = spool.send(5)
    spool.settle(file.sha256, "accepted")
    path = tmp_path / "own/n1.000000005.fate"
    path.write_bytes(path.read_bytes()[:-cut])
    again = open_spool(store, clock, tmp_path / "own", B)
    (entry,) = again.entries()
    assert (entry.keys, entry.outcome, entry.size, again.problems) == ((file.key,), "", file.size, [])
    assert again.settle(file.sha256, "late")
    assert open_spool(store, clock, tmp_path / "own", B).entries()[0].outcome == "late"


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


def test_a_killed_process_loses_nothing_that_it_held(
    store: FaultyStore, clock: Clock, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(own), store.root], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        told = [int(process.stdout.readline()) for _ in range(8)]
        process.send_signal(signal.SIGKILL)
        told += [int(line) for line in process.stdout]
    again = open_spool(store, clock, own, new_incarnation())
    assert again.problems == []
    assert [entry.step for entry in again.entries()][: len(told)] == told
    for entry in again.entries():
        assert entry.payload == b"%d" % entry.step * 50000
