"""The state log, case by case: order, cost, twins, damage, and claims of several coordinators."""

from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drive_store import (
    ExperimentPaths,
    ExperimentStore,
    Header,
    NameTaken,
    StateLogReader,
    StateLogTail,
    StateLogWriter,
    StoreFull,
    history,
    newest,
    seal_json,
)
from drive_store.names import parse_state_name, twin_name
from drive_store.statelog.log import StateEntry, StateRef, claimant_rank, preference, preferred
from drive_store.testing import Faults

PATHS = ExperimentPaths("tea")
FIRST, SECOND = sorted(("ann", "bob"), key=claimant_rank)  # of one epoch, the first is obeyed


def writer(
    tea: ExperimentStore, epoch: int = 1, claimant: str = "w1", after: StateRef | None = None
) -> StateLogWriter:
    return StateLogWriter(tea, epoch, claimant, resume_after=after)


def write(log: StateLogWriter, count: int) -> list[StateRef]:
    return [
        log.append(b'{"of":"%s","n":%d}' % (log.claimant.encode(), n), round=n, stage=0) for n in range(count)
    ]


def refs(entries: list[StateEntry]) -> list[StateRef]:
    return [entry.ref for entry in entries]


def twin_path(tea: ExperimentStore, ref: StateRef) -> tuple[Path, Path]:
    key = PATHS.state_record(ref.epoch, ref.sequence, ref.claimant)
    return Path(tea.store.root, key), Path(tea.store.root, twin_name(key, 1))


def keys_of(written: list[StateRef]) -> list[str]:
    return [PATHS.state_record(ref.epoch, ref.sequence, ref.claimant) for ref in written]


def listed(reader: StateLogReader) -> list[StateEntry]:
    reader._never_listed = True
    return reader.poll()


def test_records_come_once_and_in_order(tea: ExperimentStore) -> None:
    reader, log = StateLogReader(tea), writer(tea)
    assert reader.poll() == []
    first = write(log, 3)
    entries = reader.poll()
    assert refs(entries) == first
    assert [entry.header.round for entry in entries] == [0, 1, 2]
    assert entries[1].payload == b'{"of":"w1","n":1}'
    assert [entry.header.previous for entry in entries] == ["", first[0].sha256, first[1].sha256]
    assert reader.poll() == reader.poll() == []
    more = write(log, 2)
    assert refs(reader.poll()) == more
    assert (reader.last, reader.problems) == (log.last, [])


def test_an_idle_poll_is_one_look_and_listings_are_rare(tea: ExperimentStore) -> None:
    log, done = writer(tea), tea.store.operations
    write(log, 1)
    reader = StateLogReader(tea, list_every=10)
    reader.poll()
    done.reads = done.lists = 0
    for _ in range(30):
        assert reader.poll() == []
    assert (done.reads, done.lists) == (30, 3)
    for _ in range(20):
        new = write(log, 1)
        assert refs(reader.poll()) == new
    assert done.lists == 3, "following lists nothing"


def test_a_log_spans_buckets(tea: ExperimentStore) -> None:
    log = writer(tea)
    written = write(log, 503)
    assert tea.store.names(PATHS.state_folder) == ["000000", "000001"]
    assert len(tea.store.names(PATHS.state_bucket(0))) == 500
    assert refs(history(tea)) == written
    late = StateLogReader(tea, after=written[498])
    assert refs(late.poll()) == written[499:]
    found = newest(tea)
    assert found is not None
    assert found.ref == written[-1]
    reader = StateLogReader(tea, after=found.ref)  # whoever starts from now
    assert reader.poll() == reader.poll() == []
    write(log, 1)
    assert refs(reader.poll()) == [log.last]


def test_a_history_reaches_up_to_the_gap_wherever_that_is(tea: ExperimentStore) -> None:
    written, done = write(writer(tea), 1010), tea.store.operations
    twin_path(tea, written[400])[0].unlink()
    done.reads = done.lists = 0
    assert refs(history(tea)) == written[:400]
    # Each record once, however many heads stand behind the gap, and a look at the name that is missing.
    assert done.reads == 1010
    assert done.lists <= 8
    assert StateLogReader(tea).poll() == []  # whoever acts on records waits


def test_newest_costs_no_more_for_a_long_log(tea: ExperimentStore) -> None:
    assert newest(tea) is None
    log, done = writer(tea), tea.store.operations
    for count in (1, 501, 400):
        write(log, count)
        done.reads = done.lists = 0
        found = newest(tea)
        assert found is not None
        assert (found.ref, done.reads, done.lists) == (log.last, 1, 2)


def test_a_higher_epoch_is_found_by_listing(tea: ExperimentStore) -> None:
    old = writer(tea, 1, "w1")
    common = write(old, 3)
    reader = StateLogReader(tea)
    reader.poll()
    beyond = write(old, 1)
    assert refs(reader.poll()) == beyond
    new = writer(tea, 2, "w2", after=common[-1])
    taken_over = write(new, 2)
    assert reader.poll() == []
    assert refs(listed(reader)) == taken_over
    write(old, 5)
    assert listed(reader) == [], "a coordinator that was succeeded is not obeyed"
    assert refs(history(tea)) == common + taken_over
    found = newest(tea)
    assert found is not None
    assert found.ref == taken_over[-1]


def test_a_reader_that_is_behind_takes_the_chain_that_is_obeyed(tea: ExperimentStore) -> None:
    old = writer(tea, 1, "w1")
    common = write(old, 5)
    reader = StateLogReader(tea, after=common[1])
    write(old, 4)
    newer = writer(tea, 4, "w3", after=common[3])
    expected = common[2:4] + write(newer, 3)
    # The reader follows its coordinator as far as it goes, and then meets the successor.
    answered = refs(reader.poll())
    positions = [ref.position for ref in answered]
    assert positions == sorted(set(positions))
    assert answered[-3:] == expected[-3:]
    assert refs(StateLogReader(tea).poll()) == common[:4] + expected[2:]


def test_of_one_epoch_the_smaller_hash_is_obeyed(tea: ExperimentStore) -> None:
    base = write(writer(tea, 1, "w1"), 2)
    loser = writer(tea, 2, SECOND, after=base[-1])
    seen = write(loser, 3)
    reader = StateLogReader(tea)
    assert refs(reader.poll()) == base + seen
    winner = writer(tea, 2, FIRST, after=base[-1])
    passed = write(winner, 3)
    assert listed(reader) == [], "(epoch, sequence) does not come twice"
    assert passed[-1] == reader.last
    assert len(reader.problems) == 1
    assert f"2 to 4 of {FIRST}" in reader.problems[0]
    write(loser, 2)
    new = write(winner, 1)
    assert refs(reader.poll()) == new
    assert refs(history(tea)) == base + passed + new


def test_twins(tea: ExperimentStore) -> None:
    """With the same bytes they change nothing; they count where the name is gone or damaged."""
    written = write(writer(tea), 3)
    for ref in written:
        name, twin = twin_path(tea, ref)
        twin.write_bytes(name.read_bytes())
    reader = StateLogReader(tea)
    assert (refs(reader.poll()), listed(reader), reader.problems) == (written, [], [])
    name, _ = twin_path(tea, written[1])
    name.write_bytes(name.read_bytes().replace(b'"n":1', b'"n":7'))
    reader = StateLogReader(tea)
    assert (refs(reader.poll()), len(reader.problems)) == (written, 1)
    name.unlink()
    assert refs(history(tea)) == written


@pytest.mark.parametrize(
    ("damage", "problems"),
    [
        (lambda data: b"", 0),
        (lambda data: data[:-20], 0),
        (lambda data: data[:100], 0),
        (lambda data: data.replace(b'"n":2', b'"n":3'), 1),
        (lambda data: data.replace(b'"schema": 1', b'"schema": 9'), 1),
        (lambda data: b"garbage", 1),
        (lambda data: seal_json(Header(kind="state", experiment="coffee", node="w1", sequence=2), b"{}"), 1),
        (lambda data: seal_json(Header(kind="state", experiment="tea", node="w2", sequence=2), b"{}"), 1),
        (lambda data: seal_json(Header(kind="state", experiment="tea", node="w1", sequence=3), b"{}"), 1),
    ],
)
def test_a_damaged_record_is_waited_for(
    tea: ExperimentStore, damage: Callable[[bytes], bytes], problems: int
) -> None:
    log = writer(tea)
    written = write(log, 4)
    path, _ = twin_path(tea, written[2])
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    reader = StateLogReader(tea)
    assert refs(reader.poll()) == written[:2]
    assert listed(reader) == []
    assert len(reader.problems) == problems
    path.write_bytes(whole)
    assert refs(reader.poll()) == written[2:]


def test_a_record_that_breaks_the_chain_is_not_followed(tea: ExperimentStore) -> None:
    written = write(writer(tea), 2)
    foreign = Header(kind="state", experiment="tea", node="w1", epoch=1, sequence=2, previous="00" * 32)
    tea.store.create(PATHS.state_record(1, 2, "w1"), seal_json(foreign, b"{}"))
    reader = StateLogReader(tea)
    assert refs(reader.poll()) == written
    assert listed(reader) == []
    assert any("continues another" in problem for problem in reader.problems)


def test_a_record_too_large_is_not_read(tea: ExperimentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drive_store.statelog.log.MAX_STATE", 1000)
    log = writer(tea)
    log.append(b'"%s"' % (b"x" * 50_000), round=0, stage=0)
    reader = StateLogReader(tea)
    assert reader.poll() == []
    assert len(reader.problems) == 1


def test_foreign_files_are_passed_over(tea: ExperimentStore) -> None:
    written = write(writer(tea), 2)
    folder = Path(tea.store.root, PATHS.state_bucket(0))
    for name in ("desktop.ini", "e000001-s00000001.w1.json.tmp", ".hidden", "e000009-s00000001.w9.gdoc"):
        (folder / name).write_bytes(b"x")
    (folder / "e000009-s00000001.w9.json").mkdir()
    Path(tea.store.root, PATHS.state_folder, "not a bucket").mkdir()
    assert refs(history(tea)) == written


def test_a_write_that_failed_can_be_repeated(tea: ExperimentStore) -> None:
    log = writer(tea)
    write(log, 1)
    tea.store.faults = Faults(tear=1)
    log.append(b"{}", round=1, stage=0)
    assert len(history(tea)) == 1
    again = writer(tea, after=history(tea)[0].ref)
    assert again.append(b"{}", round=1, stage=0).sequence == 1
    assert len(history(tea)) == 2


def test_one_name_holds_one_content(tea: ExperimentStore) -> None:
    writer(tea).append(b"[1]", round=0, stage=0)
    assert writer(tea).append(b"[1]", round=0, stage=0).sequence == 0
    with pytest.raises(NameTaken):
        writer(tea).append(b"[2]", round=0, stage=0)
    entries = history(tea)
    assert [msgspec.json.decode(entry.payload) for entry in entries] == [[1]]


def test_an_error_in_the_middle_loses_no_record(
    tea: ExperimentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = write(writer(tea), 4)
    reader = StateLogReader(tea, after=written[0])
    whole = [tea.store.read(key, 10_000) for key in keys_of(written[1:3])]
    with monkeypatch.context() as patch:
        patch.setattr(tea.store, "read", Mock(side_effect=[*whole, StoreFull("any error")]))
        with pytest.raises(StoreFull):
            reader.poll()
    assert refs(reader.poll()) == written[1:]


CLAIMANTS = ("coordinator.0a0b0c0d", "coordinator.00000001", "other")


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


def test_of_records_that_are_torn_the_newest_whole_one_is_taken(tea: ExperimentStore) -> None:
    written = write(writer(tea), 520)
    for ref in written[500:]:
        path, _ = twin_path(tea, ref)
        path.write_bytes(path.read_bytes()[:-3])
    found = newest(tea)
    assert found is not None
    assert found.ref == written[499]


def test_the_tail_is_read_once_whoever_wrote_it(tea: ExperimentStore) -> None:
    first, done = StateLogWriter(tea, 1, CLAIMANTS[0]), tea.store.operations
    for number in range(3):
        first.append(b"%d" % number, round=number, stage=0)
    tail = StateLogTail(tea, 4)
    assert [entry.payload for entry in tail.look()] == [b"0", b"1", b"2"]
    second = StateLogWriter(tea, 2, CLAIMANTS[1], resume_after=first.last)
    first.append(b"33", round=3, stage=0)
    for number in range(3, 6):
        second.append(b"%d" % number, round=number, stage=0)
    done.reads = done.lists = 0
    assert [entry.payload for entry in tail.look()] == [b"2", b"3", b"4", b"5"]
    assert done.reads == 5, "of three new records, and of two before"
    assert done.lists == 3, "two for the newest, and one where the claimant changes"
    assert [entry.payload for entry in StateLogTail(tea, 2).look()] == [b"4", b"5"]


def test_where_a_link_is_missing_the_tail_begins_after_it(tea: ExperimentStore) -> None:
    assert StateLogTail(tea, 4).look() == []
    written = write(writer(tea), 4)
    twin_path(tea, written[1])[0].unlink()
    assert refs(StateLogTail(tea, 4).look()) == written[2:]
