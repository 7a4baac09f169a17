"""One thread changes the spool while others read it: a heartbeat says what waits, whatever the trainer does."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from spool_for_tests import Clock, hold, open_spool, open_store

from drive_store import Spool

HELD = 40
ROUNDS = 3


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads take turns as often as the interpreter can let them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_readers_meet_no_entry_that_is_gone(hurried: None, tmp_path: Path) -> None:
    spool = open_spool(open_store(tmp_path / "store"), Clock(), tmp_path / "own")
    problems: list[str] = []
    done = threading.Event()
    readers = [threading.Thread(target=_read, args=(spool, done, problems)) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        _write(spool)
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert problems == []
    assert spool.entries() == []


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
        try:
            steps = [entry.step for entry in spool.entries()]
            waiting = [entry.step for entry in spool.unanswered()]
            found = [spool.bytes_waiting >= 0, spool.wait_s >= 0, steps == sorted(steps)]
            if not all(found) or waiting != sorted(waiting):
                problems.append(f"{steps} {waiting} {found}")
        except (KeyError, RuntimeError) as error:
            problems.append(repr(error))
