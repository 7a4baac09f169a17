"""The spool: held on the own disk, published once per name, and kept until it is answered."""

from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
from spool_for_tests import PATHS, RETRY_S, B, Clock, hold, in_store

from drive_store import NameTaken, Spool, Store, StoreUnavailable, payload_sha256
from drive_store.outbox import percentile_99
from drive_store.testing import Faults, FaultyStore


def test_what_is_held_is_found_by_the_next_process(spool: Spool, reopen: Callable[[str], Spool]) -> None:
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
