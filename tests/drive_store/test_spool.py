"""The spool: held on the own disk, published once per name, and kept until it is answered."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from drive_store import (
    ExperimentPaths,
    NameTaken,
    Spool,
    SpoolEntry,
    Store,
    StoreFull,
    StoreUnavailable,
    Valid,
    create_experiment_folder,
    payload_sha256,
    read_round_file,
)
from drive_store.names import new_incarnation
from drive_store.retrying import percentile_99
from drive_store.testing import Faults, FaultyStore

PATHS = ExperimentPaths("tea")
A, B = "0123abcd", "89abcdef"
RETRY_S = 120.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> FaultyStore:
    return open_store(tmp_path / "store")


def open_store(root: Path) -> FaultyStore:
    store = FaultyStore(str(root))
    create_experiment_folder(store, PATHS)
    store.create(PATHS.experiment_json, b"{}")
    store.attach(PATHS.experiment_json)
    return store


def open_spool(store: Store, clock: Clock, folder: Path, incarnation: str = A) -> Spool:
    return Spool(folder, store, PATHS, "n1", incarnation, retry_s=RETRY_S, clock=clock)


@pytest.fixture
def spool(store: FaultyStore, clock: Clock, tmp_path: Path) -> Spool:
    return open_spool(store, clock, tmp_path / "own")


def hold(spool: Spool, step: int = 5, payload: bytes = b"rollouts") -> SpoolEntry:
    return spool.hold(
        round=17, stage=0, step=step, epoch=3, payload=payload + b"%d" % step, attachment=b"tokens"
    )


def in_store(store: Store, entry: SpoolEntry) -> list[str]:
    """Keys of the entry's files that are whole in the store."""
    whole = []
    for key in entry.keys:
        incarnation = key.split("/")[3].partition(".")[2]
        reading = read_round_file(
            store,
            key,
            experiment="tea",
            node="n1",
            incarnation=incarnation,
            sha256=entry.sha256,
            max_payload=1000,
        )
        if isinstance(reading, Valid):
            assert (reading.payload, reading.header.sequence) == (entry.payload, entry.step)
            whole.append(key)
    return whole


def test_what_is_held_is_found_by_the_next_process(
    spool: Spool, store: Store, clock: Clock, tmp_path: Path
) -> None:
    entry = hold(spool)
    assert entry.sha256 == payload_sha256(b"rollouts5")
    assert open_spool(store, clock, tmp_path / "own", B).entries() == [entry]
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
    hold(spool, 3)
    spool.send(3)
    clock.now += 3 * 52
    (second,) = spool.retry_due()
    clock.now += 10
    assert spool.settle(second.sha256, "accepted")  # which of the two was seen is not said
    assert spool.wait_s == 3 * 52


def test_the_delay_counts_from_the_name_that_was_answered(spool: Spool, clock: Clock) -> None:
    hold(spool)
    spool.send(5)
    clock.now += RETRY_S
    (second,) = spool.retry_due()
    clock.now += 60
    assert spool.settle(second.sha256, "accepted", second.key)
    assert spool.wait_s == 3 * 60


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
    asked: list[str] = []

    def uploaded(key: str) -> bool:
        asked.append(key)
        return True

    monkeypatch.setattr(store, "uploaded", uploaded)
    hold(spool)
    file = spool.send(5)
    clock.now += 2 * RETRY_S
    assert spool.retry_due() == spool.retry_due() == []
    assert asked == [file.key]
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
    assert [entry.attempts for entry in entries] == [1, 1]
    assert spool.retry_due() == []


def test_a_replaced_root_is_not_written_into(spool: Spool, store: FaultyStore) -> None:
    hold(spool)
    store.remove(PATHS.experiment_json)
    with pytest.raises(StoreUnavailable, match="unmounted"):
        spool.retry_due()
    assert store.names(PATHS.rollouts_parent) == []


def test_a_torn_file_under_the_name_is_passed_over(spool: Spool, store: FaultyStore) -> None:
    entry = hold(spool)
    store.faults = Faults(full=True, tear=1)
    with pytest.raises(StoreFull):
        spool.send(5)
    torn = Path(store.root) / entry.keys[0]
    torn.parent.mkdir(parents=True)
    torn.write_bytes(b"a beginning")
    store.faults = Faults()
    (file,) = spool.retry_due()
    assert in_store(store, entry) == [file.key] == [entry.keys[1]]


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
        again = open_spool(store, clock, own, B)
        (file,) = again.retry_due()
        (entry,) = again.entries()
        assert entry.attempts == len(set(entry.keys)) == 2
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
        other = Spool(own, store, PATHS, "n1-b", A, retry_s=RETRY_S, clock=clock)
        assert (other.entries(), other.problems) == ([], [])
        assert len(open_spool(store, clock, own, B).entries()) == 1


def test_a_full_disk_loses_nothing(
    spool: Spool, store: Store, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = hold(spool, 5)

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFull, match="own disk is full"):
        hold(spool, 6)
    monkeypatch.undo()
    assert spool.entries() == [entry]
    assert len(list((tmp_path / "own").iterdir())) == 1
    assert hold(spool, 6).step == 6


def test_fates_that_cannot_be_noted_stop_nothing(
    spool: Spool, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = hold(spool)

    def full(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    file = spool.send(5)
    assert spool.settle(file.sha256, "accepted")
    assert entry.outcome == "accepted"
    assert len(spool.problems) == 1
    assert "own disk is full" in spool.problems[0]


KILLED = """
import sys
from pathlib import Path
from drive_store import ExperimentPaths, Spool, Store
folder, root = map(Path, sys.argv[1:])
store = Store(str(root))
spool = Spool(folder, store, ExperimentPaths("tea"), "n1", "0123abcd", retry_s=120)
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
