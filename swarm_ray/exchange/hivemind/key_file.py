"""A node's key as the file that p2pd reads, and that nothing is left of, however its process ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def key_file(key: bytes | None, folder: Path) -> Iterator[str | None]:
    """Where p2pd finds a key while it starts; None where there is none.

    On Linux the file is in memory alone and goes with the process; elsewhere it lies in the folder until p2pd is up.

    Args:
        key: of the node, in libp2p's form.
        folder: of our own, which nobody else may read.
    """
    if key is None:
        yield None
    elif hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("identity"), "wb", buffering=0) as memory:
            memory.write(key)
            yield f"/proc/{os.getpid()}/fd/{memory.fileno()}"
    else:
        path = folder / "identity"
        path.touch(0o600)
        try:
            path.write_bytes(key)
            yield str(path)
        finally:
            path.unlink()
