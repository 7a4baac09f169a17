"""What kind of folder it is: is it there, is it a mount, what else lies in it, does it mark files that are uploaded."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from drive_store.doctor.report import FAIL, OK, WARN, Finding, seconds, size_text
from drive_store.doctor.workspace import CHECK, TWIN, Means, OwnFiles, device_of, look
from drive_store.paths import DISCOVERY, EXPERIMENTS
from drive_store.store.store import Store
from drive_store.store.transfer import UNCOMMITTED

LEAST_FREE = 200_000_000
"""Bytes below which nothing is begun."""
ENOUGH_FREE = 5_000_000_000
"""Bytes that the weights and logs of a model of half a billion parameters need, with two nodes."""
_DRIVE_PARTS = {"MyDrive", "My Drive", "Shareddrives", "Shared drives"}
_COLAB_MOUNT = ("/", "content", "drive")
_LEAST_PYTHON = (3, 11)
_LEAST_FSSPEC = (2025, 3)
_MOST_NAMED = 3


def folder(store: Store) -> Finding:
    """Is there such a folder?"""
    if look(store.root or "/", Path(store.root or "/").is_dir):
        return Finding("folder", OK, f"{store.root} is there")
    return Finding(
        "folder",
        FAIL,
        f"{store.root} does not exist, or is not a folder",
        "Mount Drive first; then make the folder, on one machine only, and wait until the other shows it.",
    )


def expects_drive(root: str) -> bool:
    """Say whether a path is one that only a mount of Google Drive has."""
    parts = Path(root).parts
    return parts[: len(_COLAB_MOUNT)] == _COLAB_MOUNT or not _DRIVE_PARTS.isdisjoint(parts)


def mount(store: Store) -> Finding:
    """Is it another device than this machine's own disk?"""
    if device_of(store.root or "/") not in {device_of("/"), device_of(tempfile.gettempdir())}:
        return Finding("mount", OK, "a mount of its own, not this machine's disk")
    found = "lies on this machine's own disk"
    if not expects_drive(store.root):
        return Finding(
            "mount",
            WARN,
            found,
            "Good for a swarm on this machine alone; other machines need a folder that they see too.",
        )
    return Finding(
        "mount",
        FAIL,
        f"{found}, though its path is one of Google Drive: Drive is not mounted",
        "Move the folder away, since no other machine sees it unless Drive mirrors it, and mount Drive: "
        "drive.mount('/content/drive').",
    )


def still_there(store: Store, device: int | None) -> Finding:
    """Is it at the end the device that it was at the beginning?"""
    if device_of(store.root or "/") == device:
        return Finding("mount stays", OK, "the same device from beginning to end")
    return Finding(
        "mount stays",
        FAIL,
        "another device than at the beginning: the folder was unmounted or mounted again meanwhile",
        "Mount it and run the doctor again; what was measured before is worth nothing.",
    )


def space(store: Store) -> Finding:
    """How much may still be written?"""
    free = store.free_space()
    if free is None:
        return Finding(
            "free space", WARN, "the folder does not say", "Look on drive.google.com; the trash counts."
        )
    figures, found = {"free_bytes": float(free)}, f"{size_text(free)} are free"
    if free >= ENOUGH_FREE:
        return Finding("free space", OK, found, figures=figures)
    advice = "Free some space: on Drive the trash counts until it is emptied."
    if free < LEAST_FREE:
        return Finding("free space", FAIL, found, advice, figures)
    return Finding(
        "free space",
        WARN,
        found,
        f"With checkpoint.store_every_s large and tiny models it may do. {advice}",
        figures,
    )


def twins(store: Store) -> Finding:
    """Names that Drive shows for a second file or folder of one name."""
    names = [
        f"{place}/{name}".lstrip("/")
        for place in ("", EXPERIMENTS, DISCOVERY, CHECK)
        for name in store.names(place)
        if TWIN.search(name)
    ]
    if not names:
        return Finding("twins", OK, "no name with ' (1)' in the folder")
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return Finding(
        "twins",
        WARN,
        f"two of one name: {', '.join(map(repr, names[:_MOST_NAMED]))}{more}",
        "Two machines made them at once. Join or remove them on drive.google.com, before a swarm uses them.",
        {"twins": float(len(names))},
    )


def versions(found: Callable[[str], str] = version) -> Finding:
    """Are Python and fsspec of a version that the store was made for?"""
    fsspec = found("fsspec")
    numbers = tuple(int(part) for part in re.findall(r"\d+", fsspec)[:2])
    seen = f"Python {sys.version.split()[0]}, fsspec {fsspec}"
    if sys.version_info[:2] >= _LEAST_PYTHON and numbers >= _LEAST_FSSPEC:
        return Finding("versions", OK, seen)
    return Finding("versions", FAIL, seen, "Python 3.11 and fsspec 2025.3.0 are the least.")


UPLOAD_S = 120.0
"""Seconds that the upload of a small file is waited for."""
ID = "user.drive.id"
_LOCAL_ID = b"local"
_POLL_S = 0.5


def upload(own: OwnFiles, means: Means) -> Finding:
    """Which marks does a new file have, and when do they say that it is uploaded?"""
    key = own.key("upload.txt")
    own.create(key, b"on its way")
    path, began = f"{own.store.root}/{key}", means.clock()
    marks = _marks(path)
    figures = {"uncommitted": float(UNCOMMITTED in marks), "id": float(ID in marks)}
    if not marks:
        return Finding(
            "upload",
            OK,
            "the folder does not say when a file is uploaded; only the answers of other machines do",
            figures=figures,
        )
    if not all(marks.values()):
        means.say(f"waiting until a small file is uploaded (at most {UPLOAD_S:.0f} s)")
    while not all(marks.values()) and means.clock() - began <= UPLOAD_S:
        means.sleep(_POLL_S)
        marks = _marks(path)
    took = means.clock() - began
    if all(marks.values()):
        return Finding(
            "upload",
            OK,
            f"{' and '.join(marks)} say when a file is uploaded: after {seconds(took)}",
            figures=figures | {"upload_s": round(took, 3)},
        )
    return Finding(
        "upload",
        WARN,
        f"a small file is not uploaded after {seconds(took)}, say {' and '.join(marks)}",
        "Wait until earlier uploads are through, and look at the quota on drive.google.com.",
        figures,
    )


def _marks(path: str) -> dict[str, bool]:
    """What each mark that the file has says: whether it is uploaded."""

    def values() -> dict[str, bytes]:
        found = {}
        for name in (UNCOMMITTED, ID):
            with suppress(OSError):  # no such mark, or no marks at all
                found[name] = os.getxattr(path, name)
        return found

    found = look(path, values) or {}
    return {
        name: value.strip(b"\0 \n") == b"0" if name == UNCOMMITTED else not value.startswith(_LOCAL_ID)
        for name, value in found.items()
    }
