"""What another machine's file may hold: a note, or nothing that is believed."""

from pathlib import Path

import msgspec
import pytest

from drive_store import Header, Store, seal_json
from drive_store.doctor import Means
from drive_store.doctor.channel import KIND, NOTE_LIMIT, Channel, Met, Note
from drive_store.doctor.workspace import OwnFiles, SessionPaths

ONE, OTHER = "00000001", "00000002"


@pytest.fixture
def own(tmp_path: Path) -> OwnFiles:
    store = Store(str(tmp_path))
    for id_ in (ONE, OTHER):
        store.make_folder(f"check/pair/{id_}")
    return OwnFiles(store, SessionPaths("pair"), ONE)


def channel(own: OwnFiles, peer: str) -> Channel:
    return Channel(own, Met(peer, own.paths.folder, Note()), Means(), 0.0)


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
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
def test_what_is_no_note_is_refused(own: OwnFiles, payload: bytes) -> None:
    header, reader = Header(kind=KIND, experiment="pair", node=OTHER), channel(own, OTHER)
    try:
        data = seal_json(header, payload)
    except ValueError:  # not JSON either
        data = payload
    own.store.create(f"check/pair/{OTHER}/note.json", data)
    assert reader.peek_file("note.json") is None
    assert list(reader.sights.damaged) == ["note.json"]


def test_a_note_is_read_by_those_it_is_from_and_for(own: OwnFiles) -> None:
    note = Note(figures={"rounds": 2.0}, texts={"python": "3.13.0+"}, filler="x")
    channel(own, OTHER).tell("hello", note)
    other, third = OwnFiles(own.store, own.paths, OTHER), OwnFiles(own.store, SessionPaths("other"), OTHER)
    assert channel(other, ONE).peek("hello") == note
    assert channel(other, ONE).peek("absent") is None
    stranger = Channel(third, Met(ONE, own.paths.folder, Note()), Means(), 0.0)
    assert stranger.peek("hello") is None
    assert "and 'other' is expected" in stranger.sights.damaged[f"hello.{OTHER}.json"]
    own.store.create(
        f"check/pair/{OTHER}/hello.{ONE}.json", own.store.read(own.key(f"hello.{OTHER}.json"), 9_999) or b""
    )
    assert channel(own, OTHER).peek("hello") is None, "another machine wrote it"


def test_what_is_too_large_or_no_file_is_refused(own: OwnFiles) -> None:
    header, reader = Header(kind=KIND, experiment="pair", node=ONE), channel(own, ONE)
    own.create(own.key("large.json"), seal_json(header, b'"%s"' % (b"x" * NOTE_LIMIT)))
    own.create(own.key("huge.json"), b"x" * 2_000_000)
    own.store.make_folder(own.key("folder.json"))
    names = ["folder.json", "huge.json", "large.json"]
    assert [reader.peek_file(name) for name in names] == [None] * 3
    assert sorted(reader.sights.damaged) == names


def test_only_own_files_are_removed(own: OwnFiles) -> None:
    own.create(own.key("mine.txt"), b"mine")
    own.store.create("check/pair/race.txt", b"theirs")
    assert own.create_shared("check/pair/race2.txt", b"mine")
    assert not own.create_shared("check/pair/race.txt", b"mine")
    Path(own.store.root, "check/pair/race2 (1).txt").write_bytes(b"theirs")
    Path(own.store.root, "check/pair/race2.txt").rename(Path(own.store.root, "check/pair/race2 (2).txt"))
    own.store.create(own.key("strange.txt"), b"of another")
    assert own.clear() == 0
    left = sorted(path.name for path in Path(own.store.root).rglob("*") if path.is_file())
    assert left == ["race.txt", "race2 (1).txt", "strange.txt"]
