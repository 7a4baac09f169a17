"""The parts of which names are made: ids, numbers and twins, checked in both directions.

A name that was found in the folder is only text until one of the parsers here accepts it, and no path is
built from anything else. A parser accepts exactly the names that `paths` builds, and their twins: Drive
allows two files of one name, and its mount shows the second as ``name (1).json``.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from drive_store.errors import InvalidName

_Name = TypeVar("_Name")
ID_RULE = "use lower-case letters, digits, - and _ (at most 63)"
"""What a person who gave another name for an experiment or a node is told."""
ROUND_FILE_SUFFIX = ".rollouts"
VALUE_FILE_SUFFIX = ".value"
HASH_DIGITS = 12
"""How many hex digits of a payload's sha256 stand in a round file's name."""

_ID = r"[a-z0-9][a-z0-9_-]{0,62}"
_INCARNATION = r"[0-9a-f]{8}"
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}"
_KEY = re.compile(rf"{_PART}(?:/{_PART})*")
# A twin is what Drive's mount shows for a second file or folder of the same name. It may be read, never made.
_PART_OR_TWIN = rf"{_PART}(?: \([1-9][0-9]{{0,3}}\)(?:\.[A-Za-z0-9]{{1,16}})?)?"
_KEY_OR_TWIN = re.compile(rf"{_PART_OR_TWIN}(?:/{_PART_OR_TWIN})*")
_TWIN = r"(?: \((?P<twin>[1-9][0-9]{0,3})\))?"
_PEER = rf"(?P<node>{_ID})\.(?P<incarnation>{_INCARNATION})"
_IS_ID = re.compile(_ID)
_IS_INCARNATION = re.compile(_INCARNATION)
_IS_CLAIMANT = re.compile(rf"{_ID}(?:\.{_INCARNATION})?")
_IS_HASH = re.compile(rf"[0-9a-f]{{{HASH_DIGITS},64}}")
_IS_SEGMENT_KIND = re.compile(r"metrics|events")

# Numbers have a least width and no needless zeros, so that a number has one spelling.
_SIX = r"(?:[0-9]{6}|[1-9][0-9]{6,8})"
_EIGHT = r"(?:[0-9]{8}|[1-9][0-9]{8})"
_PLAIN = r"(?:0|[1-9][0-9]{0,8})"
_STATE = re.compile(
    rf"e(?P<epoch>{_SIX})-s(?P<sequence>{_EIGHT})\.(?P<claimant>{_ID}(?:\.{_INCARNATION})?){_TWIN}\.json"
)
_REGISTRATION = re.compile(rf"{_PEER}{_TWIN}\.json")
_BEAT = re.compile(rf"{_PEER}{_TWIN}\.beat")
_PEER_FOLDER = re.compile(_PEER)
_COORDINATOR_BEAT = re.compile(rf"(?P<claimant>{_ID}(?:\.{_INCARNATION})?){_TWIN}\.beat")
_REQUEST = re.compile(rf"(?P<request>{_INCARNATION}){_TWIN}\.json")
_ROUND_FILE = re.compile(
    rf"r(?P<round>{_SIX})-s(?P<stage>{_PLAIN})\.(?P<attempt>{_PLAIN})\.(?P<hash>[0-9a-f]{{{HASH_DIGITS}}})"
    rf"{_TWIN}{re.escape(ROUND_FILE_SUFFIX)}"
)
_VALUE_FILE = re.compile(
    rf"r(?P<round>{_SIX})-s(?P<stage>{_PLAIN})\.(?P<hash>[0-9a-f]{{{HASH_DIGITS}}})"
    rf"{_TWIN}{re.escape(VALUE_FILE_SUFFIX)}"
)
_NAMED_VALUE = re.compile(
    rf"k(?P<name>[0-9a-f]{{{HASH_DIGITS}}})-n(?P<number>{_SIX})\.(?P<hash>[0-9a-f]{{{HASH_DIGITS}}})"
    rf"{_TWIN}{re.escape(VALUE_FILE_SUFFIX)}"
)
_NUMBERS = {"epoch", "sequence", "round", "stage", "attempt", "number", "n", "twin"}
"""The groups of all these that are numbers."""
_SEGMENT = re.compile(rf"(?P<kind>metrics|events)-(?P<n>{_SIX}){_TWIN}\.jsonl")


@dataclass(frozen=True)
class StateName:
    """The name of a state record; `twin` is 0 for the name itself."""

    epoch: int
    sequence: int
    claimant: str
    twin: int = 0


@dataclass(frozen=True)
class PeerName:
    """The name of a registration, of a beat, or of a folder of one incarnation."""

    node: str
    incarnation: str
    twin: int = 0

    @property
    def peer(self) -> tuple[str, str]:
        """Node and incarnation."""
        return self.node, self.incarnation


@dataclass(frozen=True)
class RoundFileName:
    """The name of a published round file; `hash` is the beginning of its payload's sha256."""

    round: int
    stage: int
    attempt: int
    hash: str
    twin: int = 0


@dataclass(frozen=True)
class NamedValueName:
    """The name of a value under a name: the beginnings of both hashes, and the count of values of that name."""

    name: str
    number: int
    hash: str
    twin: int = 0


@dataclass(frozen=True)
class SegmentName:
    """The name of a closed segment; `kind` is "metrics" or "events"."""

    kind: str
    n: int
    twin: int = 0


def parse_state_name(name: str) -> StateName | None:
    """Read a state record's name; None for any other."""
    return _parsed(_STATE, name, StateName)


def parse_registration_name(name: str) -> PeerName | None:
    """Read the name of a registration, or of a record by which a node is found; None for any other."""
    return _parsed(_REGISTRATION, name, PeerName)


def parse_beat_name(name: str) -> PeerName | None:
    """Read a beat's name; None for any other."""
    return _parsed(_BEAT, name, PeerName)


def parse_peer_folder(name: str) -> PeerName | None:
    """Read the name of a folder that belongs to one incarnation; None for any other."""
    return _parsed(_PEER_FOLDER, name, PeerName)


def parse_coordinator_beat_name(name: str) -> tuple[str, int] | None:
    """Read the name of a coordinator's beat: claimant and twin; None for any other."""
    return _parsed(_COORDINATOR_BEAT, name, lambda claimant, twin: (claimant, twin))


def parse_request_name(name: str) -> tuple[str, int] | None:
    """Read a request's name: id and twin; None for any other."""
    return _parsed(_REQUEST, name, lambda request, twin: (request, twin))


def parse_round_file_name(name: str) -> RoundFileName | None:
    """Read a round file's name; None for any other."""
    return _parsed(_ROUND_FILE, name, RoundFileName)


def round_of_own_file(name: str) -> int | None:
    """The round of a file that a node published, a round file or a value beside one; None for any other name."""
    found = _ROUND_FILE.fullmatch(name) or _VALUE_FILE.fullmatch(name)
    return None if found is None else int(found["round"])


def parse_named_value_name(name: str) -> NamedValueName | None:
    """Read the name of a value under a name; None for any other."""
    return _parsed(_NAMED_VALUE, name, NamedValueName)


def parse_segment_name(name: str) -> SegmentName | None:
    """Read a segment's name; None for any other."""
    return _parsed(_SEGMENT, name, SegmentName)


def require_key(key: str, *, twins: bool = False) -> str:
    """Return a key of the store that was checked.

    Args:
        key: the key.
        twins: accept the name of a twin too.

    Raises:
        InvalidName: no path is built from it.
    """
    rule = "use parts of letters, digits, '.', '_' and '-', joined by '/'"
    return _require(_KEY_OR_TWIN if twins else _KEY, key, "key", rule)


def valid_id(text: str) -> bool:
    """Say whether a text may be the id of an experiment, a node or a worker."""
    return _IS_ID.fullmatch(text) is not None


def require_id(text: str, what: str) -> str:
    """Return an id that was checked.

    Args:
        text: the id.
        what: what it names, for the message ("node", say).

    Raises:
        InvalidName: it is not a valid id.
    """
    return _require(_IS_ID, text, what, ID_RULE)


def require_claimant(text: str) -> str:
    """Return a claimant that was checked: an id, or an id and an incarnation joined by a dot."""
    return _require(_IS_CLAIMANT, text, "claimant", "use an id, or an id and an incarnation joined by a dot")


def require_incarnation(text: str) -> str:
    """Return an incarnation that was checked: 8 lower-case hex digits."""
    return _require(_IS_INCARNATION, text, "incarnation", "use 8 lower-case hex digits")


def require_segment_kind(text: str) -> str:
    """Return a kind of segment that was checked: "metrics" or "events"."""
    return _require(_IS_SEGMENT_KIND, text, "kind of segment", "use 'metrics' or 'events'")


def require_hash(text: str) -> str:
    """Return the first digits, as names carry them, of a sha256 in hex that was checked."""
    return _require(_IS_HASH, text, "payload hash", "use 12 to 64 lower-case hex digits")[:HASH_DIGITS]


def require_number(number: int, what: str) -> int:
    """Return a number that was checked: 0 to 999,999,999."""
    if not 0 <= number < 10**9:
        raise InvalidName(f"{number} cannot be the {what} in a file's name: 0 to 999,999,999 can.")
    return number


def new_incarnation() -> str:
    """Draw the name of one process life of a node."""
    return secrets.token_hex(4)


def twin_name(name: str, twin: int) -> str:
    """Spell a name or key as Drive's mount shows a second file of it: ``a/b (1).json`` for ``a/b.json``.

    Twin 0 is the name itself. The store reads such a key, and never makes one.
    """
    if twin == 0:
        return name
    stem, _, suffix = name.rpartition(".")
    return f"{stem} ({twin}).{suffix}"


def _parsed(pattern: re.Pattern[str], name: str, make: Callable[..., _Name]) -> _Name | None:
    found = pattern.fullmatch(name)
    if found is None:
        return None
    parts = found.groupdict("0")
    return make(**{part: int(text) if part in _NUMBERS else text for part, text in parts.items()})


def _require(pattern: re.Pattern[str], text: str, what: str, rule: str) -> str:
    if not pattern.fullmatch(text):
        raise InvalidName(f"{text!r} is not a valid {what}: {rule}.")
    return text
