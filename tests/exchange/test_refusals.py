"""A stored reason of a refusal tells its kind."""

from __future__ import annotations

import pytest

from drive_store import Corrupt, NotYet, Rejected
from swarm_ray.exchange.validation import refusal_reason
from swarm_ray.records.refusals import RefusalKind


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


def test_reasons_in_words_have_kinds_too() -> None:
    fetched = RefusalKind.of("could not be fetched directly; its owner was asked for it")
    assert (fetched, fetched.is_missing) == (RefusalKind.NOT_FETCHED, True)
    assert RefusalKind.of("other seed") is RefusalKind.OTHER
    assert not RefusalKind.OTHER.is_missing
