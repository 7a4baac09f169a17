"""Why a published file or a rollout of a peer is refused: the stored reasons and their kinds.

Reasons for a single rollout are listed here. Those for a whole file say what is wrong with its form, and stand where
the form is checked: `swarm_ray.exchange.validation` for the content, `drive_store.envelope` for the envelope.
"""

from __future__ import annotations

from enum import StrEnum


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


class RolloutRefusal(StrEnum):
    """Why a single rollout is not learned from; counted in the metrics under these words."""

    UNKNOWN_SPECIALTY = "unknown specialty"
    OTHER_SEED = "other seed"
    OUTSIDE_POOL = "index outside the pool"
    OTHER_TEXT = "other text"
    """Its hash is not that of the text which the question has here."""
    HELD_OUT = "held out"
    EVALUATES_TEXT = "its verifier evaluates text, so external text is not scored"
    PROMPT_TOO_LONG = "prompt too long for this model"
