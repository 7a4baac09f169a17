"""Envelopes: a reader gets what a writer wrote, whole, or a reason (I1); whatever the bytes."""

import itertools
import struct
import tracemalloc

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from drive_store import (
    Corrupt,
    Expected,
    Header,
    InvalidName,
    NotYet,
    Reading,
    Rejected,
    Valid,
    open_envelope,
    payload_sha256,
    seal_json,
    seal_packed,
)
from drive_store.envelope import (
    JSON_END,
    JSON_MARK,
    LENGTHS,
    PACKED_START,
    TRAILER_END,
    Frame,
    make_frame,
    seal_of,
)

ORIGIN = {"kind": "rollouts", "experiment": "tea", "node": "n1", "incarnation": "0123abcd"}
HEADER = Header(**ORIGIN, epoch=3, round=17, sequence=2)
SEALS = (seal_json, seal_packed)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def opened(data: bytes | None, max_payload: int = 10_000, **wanted: str) -> Reading:
    origin: dict[str, str] = {"kind": "rollouts", "experiment": "tea"} | wanted
    return open_envelope(data, Expected(max_payload=max_payload, **origin))


def packed(frame: Frame, encoded: bytes, schema: int = 1) -> bytes:
    """Put a file together as an ill-meaning writer might, without the checks of `seal_packed`."""
    head = msgspec.msgpack.encode(frame)
    body = PACKED_START + b"%d\n" % schema + LENGTHS.pack(len(head), len(encoded)) + head + encoded
    return body + struct.pack(">Q", len(body) + 8 + len(TRAILER_END)) + TRAILER_END


def resealed(frame: Frame, **changes: object) -> Frame:
    frame = msgspec.structs.replace(frame, **changes)
    return msgspec.structs.replace(frame, seal=seal_of(frame))


@given(json_values)
def test_json_payloads_come_back(value: object) -> None:
    for payload in (msgspec.json.encode(value), msgspec.json.format(msgspec.json.encode(value), indent=1)):
        data = seal_json(HEADER, payload)
        assert opened(data) == Valid(HEADER, payload, payload_sha256(payload))
        assert msgspec.json.decode(data)["payload"] == msgspec.json.decode(payload)
        assert data.endswith(b"\n")


@given(st.binary())
def test_packed_payloads_come_back(payload: bytes) -> None:
    assert opened(seal_packed(HEADER, payload)) == Valid(HEADER, payload, payload_sha256(payload))


def test_large_payloads_come_back_and_shrink() -> None:
    payload = b'"' + b"the same words again and again " * 200_000 + b'"'
    for seal in SEALS:
        reading = opened(seal(HEADER, payload), max_payload=len(payload))
        assert isinstance(reading, Valid)
        assert reading.payload == payload
    assert len(seal_packed(HEADER, payload)) < len(payload) // 100


@given(
    st.binary(max_size=400),
    st.sampled_from([b"", *(seal(HEADER, b"[1]")[:cut] for seal in SEALS for cut in (20, 60, 250))]),
)
def test_no_bytes_raise_or_pass(noise: bytes, beginning: bytes) -> None:
    assert isinstance(opened(beginning + noise), NotYet | Corrupt | Rejected)


@pytest.mark.parametrize("seal", SEALS)
def test_every_beginning_is_not_yet(seal: object) -> None:
    data = seal(HEADER, b'{\n "a": {\n}\n}')  # type: ignore[operator]
    for cut in range(len(data)):
        assert isinstance(opened(data[:cut]), NotYet), cut
    assert isinstance(opened(None), NotYet)


@pytest.mark.parametrize("seal", SEALS)
def test_no_flipped_bit_passes_unnoticed(seal: object) -> None:
    payload = b'{"a": [1, 2]}'
    data = seal(HEADER, payload)  # type: ignore[operator]
    for place, bit in itertools.product(range(len(data)), range(8)):
        changed = bytearray(data)
        changed[place] ^= 1 << bit
        reading = opened(bytes(changed))
        # A few bits of a zstandard frame's header change nothing of what it decompresses to.
        assert not isinstance(reading, Valid) or (reading.payload, reading.header) == (payload, HEADER)
        assert not isinstance(reading, NotYet), "a whole file with a damage does not count as on its way"


@given(st.data())
def test_spliced_files_never_lie(data: st.DataObject) -> None:
    seal = data.draw(st.sampled_from(SEALS))
    files = [seal(HEADER, payload) for payload in (b"[1,2,3]", b'{"other": "payload"}')]
    cuts = [data.draw(st.integers(0, len(file))) for file in files]
    reading = opened(files[0][: cuts[0]] + files[1][cuts[1] :])
    assert not isinstance(reading, Valid) or reading.payload in {b"[1,2,3]", b'{"other": "payload"}'}


def test_more_bytes_than_were_written_are_corrupt() -> None:
    for seal in SEALS:
        assert isinstance(opened(seal(HEADER, b"[]") + b"\n"), Corrupt)
        assert isinstance(opened(seal(HEADER, b"[]") * 2), Corrupt)


@pytest.mark.parametrize(
    "wanted",
    [{"kind": "state"}, {"experiment": "coffee"}, {"node": "n2"}, {"incarnation": "00000000"}],
    ids=lambda wanted: next(iter(wanted)),
)
def test_another_origin_is_rejected(wanted: dict[str, str]) -> None:
    for seal in SEALS:
        data = seal(HEADER, b"[]")
        assert isinstance(opened(data, **ORIGIN), Valid)
        reading = opened(data, **(ORIGIN | wanted))
        assert isinstance(reading, Rejected)
        assert next(iter(wanted)) in reading.reason


def test_another_schema_version_is_rejected() -> None:
    readings = [
        opened(seal_json(HEADER, b"[]").replace(b'"schema": 1', b'"schema": 2')),
        opened(seal_packed(HEADER, b"[]").replace(b"packed 1\n", b"packed 2\n")),
    ]
    for reading in readings:
        assert isinstance(reading, Rejected)
        assert "version 2" in reading.reason


def test_a_payload_beyond_the_limit_is_rejected() -> None:
    for seal in SEALS:
        data = seal(HEADER, b'"%s"' % (b"a" * 98))
        assert isinstance(opened(data, max_payload=100), Valid)
        assert isinstance(opened(data, max_payload=99), Rejected)
        assert isinstance(opened(data[: len(data) - 30], max_payload=99), Rejected | NotYet)


@pytest.mark.parametrize("sized", [True, False])
def test_a_bomb_is_never_unpacked(sized: bool) -> None:
    bomb = zstandard.ZstdCompressor(write_content_size=sized).compress(bytes(1 << 26))
    assert len(bomb) < 1 << 13
    honest = make_frame(HEADER, b"", "zstd", len(bomb))
    liar = packed(resealed(honest, raw_len=1000), bomb)
    boaster = packed(resealed(honest, raw_len=1 << 26), bomb)
    tracemalloc.start()
    try:
        readings = [type(opened(liar)), type(opened(boaster))]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert readings == [Corrupt, Rejected]
    assert peak < 1 << 22


def test_a_frame_that_holds_more_than_it_says_is_cut_off() -> None:
    """Two compressed frames, of which the first has the length that is announced."""
    one = zstandard.compress(b"a" * 1000, 3)
    frame = make_frame(HEADER, b"a" * 1000, "zstd", 2 * len(one))
    reading = opened(packed(frame, one + one))
    assert not isinstance(reading, Valid) or reading.payload == b"a" * 1000


def test_deep_nesting_is_only_bytes_to_a_reader() -> None:
    payload = b"[" * 100_000 + b"]" * 100_000
    frame = make_frame(HEADER, payload, "json", len(payload))
    head = msgspec.json.format(msgspec.json.encode(frame), indent=1).removesuffix(b"\n}")
    data = head + JSON_MARK + payload + JSON_END
    assert isinstance(opened(data, max_payload=len(payload)), Valid)
    deep_header = data.replace(b'"n1"', b"[" * 3000)
    assert isinstance(opened(deep_header, max_payload=len(payload)), Corrupt)
    with pytest.raises(ValueError, match="not valid JSON"):
        seal_json(HEADER, payload)


@pytest.mark.parametrize("node", ["../evil", "", "a/b", "A", "a\n", "x" * 200, "a\0"])
def test_hostile_ids_are_neither_written_nor_read(node: str) -> None:
    header = msgspec.structs.replace(HEADER, node=node)
    for seal in SEALS:
        with pytest.raises(InvalidName):
            seal(header, b"[]")
    encoded = zstandard.compress(b"[]", 3)
    frame = resealed(make_frame(HEADER, b"[]", "zstd", len(encoded)), header=header)
    assert isinstance(opened(packed(frame, encoded)), Corrupt)


def test_only_json_goes_into_a_json_envelope() -> None:
    for payload in (b"", b"{", b"nan", b" []", b"[]\n", b"[] []"):
        with pytest.raises(ValueError, match="payload of a JSON envelope"):
            seal_json(HEADER, payload)


def test_an_envelope_of_another_codec_is_rejected() -> None:
    frame = resealed(make_frame(HEADER, b"[]", "zstd", 2), codec="lzma")
    assert isinstance(opened(packed(frame, b"[]")), Rejected)
