"""Round files of strangers: whatever the bytes, either a bounded, sensible file or `MalformedFile`."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drive_store import Corrupt, NotYet, Rejected
from swarm_ray.errors import MalformedFile
from swarm_ray.exchange.validation import (
    MAX_COMPLETIONS,
    MAX_ROLLOUTS,
    MAX_TEXT,
    decode_round_file,
    refusal_reason,
)
from swarm_ray.records.refusals import RefusalKind
from swarm_ray.records.rollouts import Completion, QuestionRef, Rollout, RoundFile, StepCounters

REF = QuestionRef("coin", 1, 0, "0" * 16)
ROLLOUT = Rollout(REF, (Completion("7", 1.0, finished=True), Completion("", 0.0, finished=False)))
FILE = RoundFile(3, (ROLLOUT,), 0.5, 1, 20, "node-1", StepCounters(offered=2, used_from={"node-1": 1}))


def changed(**fields: Any) -> bytes:
    return msgspec.msgpack.encode(msgspec.to_builtins(FILE, builtin_types=(bytes,)) | fields)


def test_a_file_comes_back_as_it_was_sent() -> None:
    assert decode_round_file(msgspec.msgpack.encode(FILE)) == FILE
    assert decode_round_file(changed(rollouts=[], informative=0)).rollouts == ()


def test_any_number_of_completions_within_reason_is_welcome() -> None:
    for count in (1, 3, MAX_COMPLETIONS):
        rollout = Rollout(REF, ROLLOUT.completions[:1] * count)
        assert decode_round_file(changed(rollouts=[rollout])).rollouts == (rollout,)


WRONG: dict[str, list[Any]] = {
    "rollouts": [
        [ROLLOUT] * (MAX_ROLLOUTS + 1),
        [Rollout(REF, ())],
        [Rollout(REF, ROLLOUT.completions[:1] * (MAX_COMPLETIONS + 1))],
        [Rollout(REF, (Completion("7" * (MAX_TEXT + 1), 1.0, finished=True),))],
        "none",
    ],
    "reward": [math.nan, math.inf, -0.01, 1.01, 1e308, "much"],
    "step": [-1, 2**62, 0.5],
    "informative": [-1, 2],
    "generated_tokens": [-1, 2**62, None],
    "vote": [7],
    "previous": [
        {"offered": "many"},
        StepCounters(offered=-1),
        StepCounters(used=2**62),
        StepCounters(rejected={"other text": 2**62}),
        StepCounters(rejected={"other text": -5}),
    ],
}


@pytest.mark.parametrize("field", WRONG)
def test_what_no_honest_node_says_is_refused(field: str) -> None:
    for value in WRONG[field]:
        with pytest.raises(MalformedFile):
            decode_round_file(changed(**{field: value}))


@pytest.mark.parametrize("missing", ["step", "rollouts", "reward", "informative", "generated_tokens"])
def test_a_missing_field_is_named(missing: str) -> None:
    fields = msgspec.to_builtins(FILE, builtin_types=(bytes,))
    del fields[missing]
    with pytest.raises(MalformedFile, match=missing):
        decode_round_file(msgspec.msgpack.encode(fields))


def test_fields_that_a_later_version_adds_do_no_harm() -> None:
    assert decode_round_file(changed(something_new=[1, 2, 3])) == FILE


@given(st.binary(max_size=300))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(MalformedFile):
        decode_round_file(noise)


@given(st.data())
def test_a_damaged_file_is_refused_or_sensible(data: st.DataObject) -> None:
    payload = bytearray(msgspec.msgpack.encode(FILE))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(payload)))
    try:
        file = decode_round_file(bytes(payload[:cut]))
    except MalformedFile:
        return
    assert 0 <= file.reward <= 1
    assert all(1 <= len(r.completions) <= MAX_COMPLETIONS for r in file.rollouts)


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(MalformedFile):
        decode_round_file(b"\x91" * 200_000)


@pytest.mark.parametrize(
    ("reading", "reason", "kind", "missing"),
    [
        (NotYet("half"), "NotYet: half", RefusalKind.NOT_YET, True),
        (Corrupt("noise"), "Corrupt: noise", RefusalKind.CORRUPT, False),
        (Rejected("too large"), "Rejected: too large", RefusalKind.REJECTED, False),
    ],
)
def test_a_file_that_cannot_be_read_is_stored_with_its_kind(
    reading: NotYet | Corrupt | Rejected, reason: str, kind: RefusalKind, *, missing: bool
) -> None:
    assert refusal_reason(reading) == reason
    assert (RefusalKind.of(reason), kind.is_missing) == (kind, missing)
    fetched = RefusalKind.of("could not be fetched directly; its owner was asked for it")
    assert (fetched, fetched.is_missing) == (RefusalKind.NOT_FETCHED, True)
    assert (RefusalKind.of("other seed"), RefusalKind.OTHER.is_missing) == (RefusalKind.OTHER, False)
