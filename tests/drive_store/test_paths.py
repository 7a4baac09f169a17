"""Paths and names: what is built can be parsed, and nothing else can."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drive_store import ExperimentPaths, InvalidName, Store, new_incarnation, valid_id
from drive_store.names import (
    PeerName,
    RoundFileName,
    SegmentName,
    StateName,
    parse_beat_name,
    parse_registration_name,
    parse_round_file_name,
    parse_segment_name,
    parse_state_name,
    twin_name,
)
from drive_store.paths import bucket

PATHS = ExperimentPaths("tea")
INCARNATION = "0123abcd"
HASH = "ab" * 32
ids = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True)
incarnations = st.from_regex(r"[0-9a-f]{8}", fullmatch=True)
numbers = st.integers(0, 10**9 - 1)
twins = st.integers(0, 9999)
parsers = (
    parse_state_name, parse_registration_name, parse_beat_name, parse_round_file_name, parse_segment_name,
)  # fmt: skip


def last(key: str) -> str:
    return key.rpartition("/")[2]


def test_the_folder_is_the_one_that_people_expect() -> None:
    assert PATHS.experiment_json == "experiments/tea/experiment.json"
    assert PATHS.config("12ab") == "experiments/tea/config-12ab.yaml"
    assert PATHS.current_state == "experiments/tea/state/current_state.json"
    assert PATHS.state_record(3, 42, "w1") == "experiments/tea/state/000000/e000003-s00000042.w1.json"
    assert PATHS.registration("n1", INCARNATION) == "experiments/tea/peers/n1.0123abcd.json"
    assert PATHS.beat("n1", INCARNATION) == "experiments/tea/peers/n1.0123abcd.beat"
    assert PATHS.round_file("n1", INCARNATION, 517, 0, 2, HASH) == (
        "experiments/tea/rollouts/n1.0123abcd/000001/r000517-s0.2.abababababab.rollouts"
    )
    assert PATHS.rewards(500) == "experiments/tea/rewards/000001/r000500.json"
    assert PATHS.winners(499) == "experiments/tea/winners/000000/r000499.json"
    logs = "experiments/tea/logs/n1.0123abcd"
    for kind in ("metrics", "events"):
        assert PATHS.segment("n1", INCARNATION, kind, 12) == f"{logs}/{kind}-000012.jsonl"
    assert PATHS.system_info("n1", INCARNATION) == f"{logs}/system_info.json"
    assert PATHS.checkpoints_folder("n1", INCARNATION) == "experiments/tea/checkpoints/n1.0123abcd"


@given(ids, incarnations, numbers, numbers, twins)
def test_state_names_are_parsed(node: str, incarnation: str, epoch: int, sequence: int, twin: int) -> None:
    for claimant in (node, f"{node}.{incarnation}"):
        name = twin_name(last(PATHS.state_record(epoch, sequence, claimant)), twin)
        assert parse_state_name(name) == StateName(epoch, sequence, claimant, twin)


@given(ids, incarnations, twins)
def test_peer_names_are_parsed_and_told_apart(node: str, incarnation: str, twin: int) -> None:
    registration = twin_name(last(PATHS.registration(node, incarnation)), twin)
    beat = twin_name(last(PATHS.beat(node, incarnation)), twin)
    assert parse_registration_name(registration) == PeerName(node, incarnation, twin) == parse_beat_name(beat)
    assert parse_registration_name(beat) is None
    assert parse_beat_name(registration) is None


@given(numbers, numbers, numbers, st.binary(min_size=32, max_size=32), twins)
def test_round_file_names_are_parsed(number: int, stage: int, attempt: int, digest: bytes, twin: int) -> None:
    key = PATHS.round_file("n1", INCARNATION, number, stage, attempt, digest.hex())
    name = RoundFileName(number, stage, attempt, digest.hex()[:12], twin)
    assert parse_round_file_name(twin_name(last(key), twin)) == name


@given(st.sampled_from(["metrics", "events"]), numbers, ids, twins)
def test_every_key_is_one_that_the_store_takes(kind: str, number: int, node: str, twin: int) -> None:
    paths, store = ExperimentPaths(node), Store("never-made")
    segment = twin_name(last(PATHS.segment("n1", INCARNATION, kind, number)), twin)
    assert parse_segment_name(segment) == SegmentName(kind, number, twin)
    for key in (
        paths.state_record(number, number, node),
        paths.beat(node, INCARNATION),
        paths.round_file(node, INCARNATION, number, number, number, HASH),
        paths.segment(node, INCARNATION, kind, number),
    ):
        assert store.read(twin_name(key, twin), 1) is None


FOREIGN = """
desktop.ini e000003-s00000042.w1.json.tmp ~$e000003-s00000042.w1.json e3-s42.w1.json e0000003-s00000042.w1.json
e000003-s00000042..json e000003-s00000042.../x.json n1.0123ABCD.json n1.json ../n1.0123abcd.json
r000017-s0.1.abababababa.rollouts r000017-s00.1.abababababab.rollouts r00000\u0661-s0.1.abababababab.rollouts
metrics-12.jsonl wandb
"""
SPACED = ("e000003-s00000042.w1 (0).json", "e000003-s00000042.w1 (1) (2).json", "n1.0123abcd.json\n", "")


@pytest.mark.parametrize("name", [*FOREIGN.split(), *SPACED])
def test_foreign_names_are_nobodys(name: str) -> None:
    assert [parse(name) for parse in parsers] == [None] * len(parsers)


@given(st.text())
def test_no_text_upsets_a_parser(text: str) -> None:
    for parse in parsers:
        assert parse(text) is None or "/" not in text


@pytest.mark.parametrize(
    "text", ["", "A", "_a", "-a", "a.b", "a/b", "..", "a b", "é", "a\n", "g" * 64, "a\0"]
)
def test_hostile_ids_are_refused(text: str) -> None:
    assert not valid_id(text)
    for build in (
        lambda: ExperimentPaths(text),
        lambda: PATHS.registration(text, INCARNATION),
        lambda: PATHS.registration("n1", text),
        lambda: PATHS.round_file("n1", INCARNATION, 0, 0, 0, text),
        lambda: PATHS.segment("n1", INCARNATION, text, 0),
    ):
        with pytest.raises(InvalidName, match=re.escape(repr(text))):
            build()


@pytest.mark.parametrize("number", [-1, 10**9])
def test_numbers_that_no_name_holds_are_refused(number: int) -> None:
    for build in (
        lambda: bucket(number),
        lambda: PATHS.state_record(number, 0, "w"),
        lambda: PATHS.state_record(0, number, "w"),
        lambda: PATHS.rewards(number),
        lambda: PATHS.segment("n1", INCARNATION, "metrics", number),
    ):
        with pytest.raises(InvalidName, match=str(number)):
            build()


def test_incarnations_are_drawn() -> None:
    drawn = {new_incarnation() for _ in range(20)}
    assert len(drawn) == 20
    assert all(PATHS.beat("n1", incarnation) for incarnation in drawn)
