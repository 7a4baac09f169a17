"""Keys of the store: posix paths below the root that may be built, and those that may only be read."""

from __future__ import annotations

import re

from drive_store.errors import InvalidName

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}"
_KEY = re.compile(rf"{_PART}(?:/{_PART})*")
# A twin is what Drive's mount shows for a second file of the same name. It may be read, never made.
_TWIN = r"(?: \([1-9][0-9]{0,3}\)(?:\.[A-Za-z0-9]{1,16})?)?"
_KEY_OR_TWIN = re.compile(rf"{_PART}(?:/{_PART})*{_TWIN}")


def require_key(key: str, *, twins: bool = False) -> str:
    """Return a key that was checked.

    Args:
        key: the key.
        twins: accept the name of a twin too.

    Raises:
        InvalidName: no path is built from it.
    """
    if not (_KEY_OR_TWIN if twins else _KEY).fullmatch(key):
        raise InvalidName(
            f"{key!r} is no key of the store: parts of letters, digits, '.', '_' and '-', joined by '/'."
        )
    return key
