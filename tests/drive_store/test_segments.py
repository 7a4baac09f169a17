"""Segments: what is logged is read in order; what is torn is said."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drive_store import ExperimentPaths, ExperimentStore, SegmentWriter, StoreFull, read_segments
from drive_store.names import twin_name
from drive_store.segments import _rows, _seal_line
from drive_store.testing import Faults

PATHS = ExperimentPaths("tea")
A = "0123abcd"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "local disk" / "metrics.jsonl"


def metrics(tea: ExperimentStore, spool: Path, start: int = 0) -> SegmentWriter:
    return SegmentWriter(tea, "n1", A, "metrics", spool, start)


def rows(tea: ExperimentStore, problems: list[str] | None = None) -> list[bytes]:
    return list(read_segments(tea, "n1", A, "metrics", problems))


def path(tea: ExperimentStore, n: int) -> Path:
    return Path(tea.store.root, PATHS.segment("n1", A, "metrics", n))


def write(writer: SegmentWriter, count: int) -> None:
    for n in range(count):
        writer.append(b'{"segment":%d,"n":%d}' % (writer.next, n))
        assert writer.pending
    writer.close_segment()
    assert writer.pending == 0


def test_rows_come_in_order(tea: ExperimentStore, spool: Path) -> None:
    writer = metrics(tea, spool)
    assert writer.close_segment() is None
    for count in (2, 1, 3):
        write(writer, count)
    events = SegmentWriter(tea, "n1", A, "events", spool.with_name("events.jsonl"))
    write(events, 1)
    problems: list[str] = []
    expected = [b'{"segment":%d,"n":%d}' % at for at in ((0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (2, 2))]
    assert rows(tea, problems) == expected
    assert problems == []
    assert tea.store.names(PATHS.logs_folder("n1", A)) == ["events-000000.jsonl"] + [
        f"metrics-00000{n}.jsonl" for n in range(3)
    ]


def test_a_row_is_one_line(tea: ExperimentStore, spool: Path) -> None:
    writer = metrics(tea, spool)
    with pytest.raises(ValueError, match="one line"):
        writer.append(b'{\n"a": 1}')
    assert writer.pending == 0
    writer.append(b'"\\r"\r')
    writer.close_segment()
    assert rows(tea) == [b'"\\r"\r']


def test_torn_and_missing_segments_are_said(tea: ExperimentStore, spool: Path) -> None:
    writer = metrics(tea, spool)
    for _ in range(4):
        write(writer, 2)
    data = path(tea, 1).read_bytes()
    path(tea, 1).write_bytes(data[: data.rfind(b"\n", 0, -1) + 1])  # whole lines, and no seal
    path(tea, 2).unlink()
    problems: list[str] = []
    assert [row[:12] for row in rows(tea, problems)] == [b'{"segment":0'] * 2 + [b'{"segment":3'] * 2
    assert len(problems) == 2
    assert "metrics-000001.jsonl is torn" in problems[0]
    assert "metrics-000002.jsonl is not there" in problems[1]
    path(tea, 2).mkdir()
    assert len(rows(tea)) == 4


def test_no_part_of_a_segment_counts_as_whole() -> None:
    lines = b'{"a":1}\n{"a":2}\n'
    data = lines + _seal_line(lines, 3)
    assert _rows(data, 3) == lines
    assert _rows(data, 4) is None
    assert all(_rows(data[:cut], 3) is None for cut in range(len(data)))
    assert all(_rows(data[:at] + b"x" + data[at + 1 :], 3) is None for at in range(len(data)))


@given(st.binary())
def test_no_bytes_upset_the_reader(data: bytes) -> None:
    assert _rows(data, 0) is None


def test_a_whole_twin_counts(tea: ExperimentStore, spool: Path) -> None:
    write(metrics(tea, spool), 2)
    twin = Path(tea.store.root, twin_name(PATHS.segment("n1", A, "metrics", 0), 1))
    twin.write_bytes(path(tea, 0).read_bytes())
    problems: list[str] = []
    for change in (bool, lambda: path(tea, 0).write_bytes(b""), path(tea, 0).unlink):
        change()
        assert len(rows(tea, problems)) == 2
    assert problems == []


def test_a_killed_process_leaves_its_rows(tea: ExperimentStore, spool: Path) -> None:
    writer = metrics(tea, spool)
    write(writer, 1)
    writer.append(b'"kept"')
    with spool.open("ab") as file:
        file.write(b'"half a r')
    again = metrics(tea, spool, start=1)
    assert again.pending == len(b'"kept"\n')
    again.append(b'"new"')
    waiting = spool.read_bytes()
    again.close_segment()
    assert rows(tea)[1:] == [b'"kept"', b'"new"']
    spool.write_bytes(waiting)  # as a kill between writing and emptying leaves it
    third = metrics(tea, spool, start=1)
    third.close_segment()
    assert (third.next, rows(tea)[1:]) == (2, [b'"kept"', b'"new"'])


def test_a_full_store_keeps_the_rows_in_the_spool(tea: ExperimentStore, spool: Path) -> None:
    writer = metrics(tea, spool)
    writer.append(b"1")
    tea.store.create(PATHS.segment("n1", A, "metrics", 0), b"1")  # a part, as a write that failed leaves it
    tea.store.faults = Faults(full=True)
    with pytest.raises(StoreFull):
        writer.close_segment()
    tea.store.faults = Faults()
    assert writer.pending == 2
    writer.append(b"2")
    writer.close_segment()
    problems: list[str] = []
    assert rows(tea, problems) == [b"1", b"2"]
    assert (len(problems), writer.next) == (1, 2)
