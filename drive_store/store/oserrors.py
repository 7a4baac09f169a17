"""From errno to the store's errors: what happened, and what a person can do about it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from drive_store.errors import InvalidName, NotAFile, StoreDenied, StoreError, StoreFull, StoreUnavailable

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


@contextmanager
def errors_of(doing: str, path: str) -> Iterator[None]:
    """Let the block raise the store's errors in place of the operating system's; see `store_error`."""
    try:
        yield
    except OSError as error:
        raise store_error(error, doing, path) from error
