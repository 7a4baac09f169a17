"""What can go wrong with a shared folder; every error derives from `StoreError`.

Each message says what happened, to which file, and what to do. Every class takes the message alone, so that
an error survives a process boundary (an actor's error is pickled on its way to the driver).
"""

# These are names of situations, which callers tell apart; "Error" at the end of each would say nothing more.

from __future__ import annotations

import msgspec

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no record; the last two are not errors of its own, and it raises them for a
damaged text and for lists within lists."""


class StoreError(Exception):
    """Base of every error that the store raises on purpose."""


class StoreUnavailable(StoreError):
    """The folder cannot be trusted now: unmounted, replaced or half dead; a later try may succeed."""


class FolderMissing(StoreUnavailable):
    """The folder that should hold a new file is not there (removed, not visible yet, or never made)."""


class StoreFull(StoreError):
    """No space, or no quota, is left for a write."""


class StoreDenied(StoreError):
    """The folder is read-only, or belongs to somebody who does not let us in."""


RETRYABLE = (StoreUnavailable, StoreDenied, StoreFull)
"""The folder is out of reach for now (unmounted, no access, no space): a later try may succeed."""


class NameTaken(StoreError):
    """An exclusive creation met a name that exists: a name is never written twice."""


class NotAFile(StoreError):
    """A folder, a device or a pipe stands where a file is expected, or a file where a folder is."""


class TooLarge(StoreError):
    """A file is larger than its reader allows; nothing of it was read."""


class InvalidName(StoreError):
    """A name that the store would not build a path from."""


class UnsupportedStore(StoreError):
    """The URL names a kind of store that this version cannot use."""
