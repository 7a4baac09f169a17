"""The newest records are found by few names, and are those that a look at all of them finds."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from drive_store import ExperimentPaths, ExperimentStore, StateLogTail, StateLogWriter, Store, newest
from drive_store.names import parse_state_name, twin_name
from drive_store.statelog.log import preference, preferred

CLAIMANTS = ("coordinator.0a0b0c0d", "coordinator.00000001", "other")
PATHS = ExperimentPaths("swarm")


def name_of(epoch: int, sequence: int, claimant: str, twin: int) -> str:
    return twin_name(PATHS.state_record(epoch, sequence, claimant), twin).rpartition("/")[2]


NAMES = st.builds(
    name_of, st.integers(1, 3), st.integers(0, 499), st.sampled_from(CLAIMANTS), st.integers(0, 2)
)
OTHERS = st.sampled_from(["notes.txt", "e-s.json", "e000001-s00000001", "", "."])


@given(st.lists(NAMES | OTHERS, max_size=40, unique=True))
def test_names_come_in_the_order_in_which_they_are_obeyed(texts: list[str]) -> None:
    names = [name for text in texts if (name := parse_state_name(text)) is not None]
    assert list(preferred(sorted(texts))) == sorted(names, key=preference)


def test_of_records_that_are_torn_the_newest_whole_one_is_taken(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    log = StateLogWriter(ExperimentStore(store, PATHS), 1, CLAIMANTS[0])
    for number in range(520):
        log.append(b"%d" % number, round=number, stage=0)
    for number in range(500, 520):
        path = tmp_path / PATHS.state_record(1, number, CLAIMANTS[0])
        path.write_bytes(path.read_bytes()[:-3])
    found = newest(ExperimentStore(store, PATHS))
    assert found is not None
    assert found.payload == b"499"


def test_the_tail_is_read_once_whoever_wrote_it(tmp_path: Path) -> None:
    experiment = ExperimentStore(Store(str(tmp_path)), PATHS)
    first = StateLogWriter(experiment, 1, CLAIMANTS[0])
    for number in range(3):
        first.append(b"%d" % number, round=number, stage=0)
    tail = StateLogTail(experiment, 4)
    assert [entry.payload for entry in tail.look()] == [b"0", b"1", b"2"]
    second = StateLogWriter(experiment, 2, CLAIMANTS[1], resume_after=first.last)
    first.append(b"33", round=3, stage=0)
    for number in range(3, 6):
        second.append(b"%d" % number, round=number, stage=0)
    reads, lists = experiment.store.operations.reads, experiment.store.operations.lists
    assert [entry.payload for entry in tail.look()] == [b"2", b"3", b"4", b"5"]
    assert experiment.store.operations.reads - reads == 5, (
        "of three new records, and of two names before them"
    )
    assert experiment.store.operations.lists - lists == 3, (
        "two for the newest, and one where the claimant changes"
    )
    assert [entry.payload for entry in StateLogTail(experiment, 2).look()] == [b"4", b"5"]


def test_where_a_link_is_missing_the_tail_begins_after_it(tmp_path: Path) -> None:
    experiment = ExperimentStore(Store(str(tmp_path)), PATHS)
    assert StateLogTail(experiment, 4).look() == []
    log = StateLogWriter(experiment, 1, CLAIMANTS[0])
    refs = [log.append(b"%d" % number, round=number, stage=0) for number in range(4)]
    (tmp_path / PATHS.state_record(1, refs[1].sequence, CLAIMANTS[0])).unlink()
    assert [entry.ref for entry in StateLogTail(experiment, 4).look()] == refs[2:]
