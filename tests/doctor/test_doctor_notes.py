"""What another machine's file may hold: a note, or nothing that is believed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from drive_store import Header, NotYet, Rejected, Store, Valid, seal_json
from drive_store.doctor.channel import NOTE_LIMIT, Note, decode_note, read_note, tell
from drive_store.doctor.workspace import OwnFiles


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"other": 1}',
        b'{"figures": {"a": "1"}}',
        b'{"figures": {"a": 1e999}}',
        b'{"figures": {"a": -1e10}}',
        b'{"figures": {"A b": 1}}',
        b'{"texts": {"a": "\\u001b[31m"}}',
        b'{"texts": {"a": "../x"}}',
        b'{"texts": {"a": "%s"}}' % (b"x" * 65),
        msgspec.json.encode({"figures": {f"a{n}": 1 for n in range(41)}}),
    ],
)
def test_what_is_no_note_is_none(payload: bytes) -> None:
    assert decode_note(payload) is None


@pytest.fixture
def own(tmp_path: Path) -> OwnFiles:
    store = Store(str(tmp_path))
    store.make_folder("check/pair/00000001")
    return OwnFiles(store, "check/pair/00000001")


def test_a_note_is_read_by_those_it_is_from_and_for(own: OwnFiles) -> None:
    note = Note(figures={"rounds": 2.0}, texts={"python": "3.13.0+"}, filler="x")
    for _ in range(2):  # a second attempt writes the same
        tell(own, "pair", "00000001", "hello", note)
    key = own.key("hello.json")
    reading, _ = read_note(own.store, key, "pair", "00000001")
    assert isinstance(reading, Valid)
    assert decode_note(reading.payload) == note
    assert isinstance(read_note(own.store, key, "pair", "00000002")[0], Rejected)
    assert isinstance(read_note(own.store, key, "other", "00000001")[0], Rejected)
    assert isinstance(read_note(own.store, own.key("absent.json"), "pair", "00000001")[0], NotYet)


def test_what_is_too_large_or_no_file_is_rejected(own: OwnFiles) -> None:
    header = Header(kind="check", experiment="pair", node="00000001")
    own.create(own.key("large.json"), seal_json(header, b'"%s"' % (b"x" * NOTE_LIMIT)))
    own.create(own.key("huge.json"), b"x" * 2_000_000)
    own.store.make_folder(own.key("folder.json"))
    for name in ("large", "huge", "folder"):
        assert isinstance(read_note(own.store, own.key(f"{name}.json"), "pair", "00000001")[0], Rejected)


def test_only_own_files_are_removed(own: OwnFiles) -> None:
    own.create(own.key("mine.txt"), b"mine")
    own.store.create("check/pair/race.txt", b"theirs")
    own.create_shared("check/pair/race2.txt", b"mine")
    Path(own.store.root, "check/pair/race2 (1).txt").write_bytes(b"theirs")
    Path(own.store.root, "check/pair/race2.txt").rename(Path(own.store.root, "check/pair/race2 (2).txt"))
    own.store.create(own.key("strange.txt"), b"of another")
    assert own.clear() == 0
    left = sorted(path.name for path in Path(own.store.root).rglob("*") if path.is_file())
    assert left == ["race.txt", "race2 (1).txt", "strange.txt"]
