"""What can go wrong with a shared folder; every error derives from `StoreError`.

Each message says what happened, to which file, and what to do. Every class takes the message alone, so that
an error survives a process boundary (an actor's error is pickled on its way to the driver).
"""

# These are names of situations, which callers tell apart; "Error" at the end of each would say nothing more.

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


_FREE = "Free some space (on Drive the trash counts until it is emptied)."
_ASK = "Ask the owner of the folder for access."
_KINDS: dict[int, tuple[type[StoreError], str]] = {
    errno.ENOSPC: (StoreFull, _FREE),
    errno.EDQUOT: (StoreFull, _FREE),
    errno.EFBIG: (StoreFull, "The file system does not take files of this size."),
    errno.EROFS: (StoreDenied, "The folder is mounted read-only: mount it for writing."),
    errno.EACCES: (StoreDenied, _ASK),
    errno.EPERM: (StoreDenied, _ASK),
    errno.ENAMETOOLONG: (InvalidName, "Give a root folder with a shorter path."),
    errno.EISDIR: (NotAFile, "A folder stands where a file is expected: move it away."),
    errno.ENOTDIR: (NotAFile, "A file stands where a folder is expected: move it away."),
    errno.ENOTCONN: (StoreUnavailable, "The mount has died: mount Drive again."),
    errno.ESTALE: (StoreUnavailable, "The mount has died: mount the folder again."),
    errno.ENOENT: (StoreUnavailable, "Check that the folder is mounted."),
    errno.ETIMEDOUT: (StoreUnavailable, "If it stays so, mount the folder again."),
    errno.EIO: (StoreUnavailable, "Try later; on Drive it means a timeout, a quota or too full a folder."),
}
_OTHERWISE = (StoreUnavailable, "Try again later, or check that the folder is mounted.")


def store_error(error: OSError, doing: str, path: str) -> StoreError:
    """Translate an error of the operating system.

    Args:
        error: what the file system raised.
        doing: the verb of what was tried, as in "could not <doing> <path>".
        path: the file or folder it was tried on.

    Returns:
        The error to raise in its place. An errno not listed here counts as unavailable: the data may be fine.
    """
    kind, advice = _KINDS.get(error.errno or 0, _OTHERWISE)
    name = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return kind(f"Could not {doing} {path}: {error.strerror or error} ({name}). {advice}")


def own_disk(path: Path) -> str:
    """How a message names a path that is not in the store."""
    return f"{path} (on this machine's own disk)"


@contextmanager
def errors_of(doing: str, path: str) -> Iterator[None]:
    """Let the block raise the store's errors in place of the operating system's; see `store_error`."""
    try:
        yield
    except OSError as error:
        raise store_error(error, doing, path) from error
