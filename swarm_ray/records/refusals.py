"""Why a published file, or the rollouts that it stands for, were not used: stored reasons and their kinds."""

from __future__ import annotations

from enum import StrEnum

from drive_store import Corrupt, NotYet, Rejected


class RefusalKind(StrEnum):
    """What a program has to know of a refusal; a stored reason begins with its kind, and continues for people."""

    NOT_YET = "NotYet"
    """The file is not there, or not whole yet."""
    CORRUPT = "Corrupt"
    """Bytes that no writer wrote."""
    REJECTED = "Rejected"
    """A whole file that this reader does not accept."""
    NOT_FETCHED = "could not be fetched directly"
    """Rollouts that travel directly and are with no peer."""
    OTHER = ""
    """Any other reason, such as a question that the file must not have."""

    @classmethod
    def of(cls, reason: str) -> RefusalKind:
        """The kind of a stored reason."""
        return next(kind for kind in cls if reason.startswith(kind))

    @property
    def is_missing(self) -> bool:
        """Whether the content is simply not there: a peer did nothing wrong."""
        return self in {RefusalKind.NOT_YET, RefusalKind.NOT_FETCHED}


_KINDS = {NotYet: RefusalKind.NOT_YET, Corrupt: RefusalKind.CORRUPT, Rejected: RefusalKind.REJECTED}


def refusal_reason(reading: NotYet | Corrupt | Rejected) -> str:
    """The reason to store for a file that could not be read."""
    return f"{_KINDS[type(reading)]}: {reading.reason}"
