"""From a root's URL to fsspec's file system. This version knows local paths; a mounted Drive is one."""

from __future__ import annotations

from typing import Any

from drive_store.errors import UnsupportedStore


def open_file_system(root_url: str) -> tuple[Any, str]:
    """Open the file system that a URL names.

    Returns:
        The fsspec file system, and the root's absolute path without a slash at its end.

    Raises:
        UnsupportedStore: the URL is no path of this machine.
    """
    # Here and not above: fsspec takes a tenth of a second, which those who only parse names need not pay.
    from fsspec.core import split_protocol, url_to_fs

    protocol = split_protocol(root_url)[0] or "file"
    if not root_url or "::" in root_url or "\0" in root_url or protocol not in {"file", "local"}:
        raise UnsupportedStore(
            f"{root_url!r} cannot be used as a store: this version knows local paths only, and a mounted "
            "Google Drive is one. Give a path such as /content/drive/MyDrive/swarm."
        )
    # An instance of our own: a transaction opened on fsspec's shared one must not hold our writes back.
    fs, root = url_to_fs(root_url, skip_instance_cache=True)
    return fs, str(root).rstrip("/")
