"""Looks at the folder without writing: is it there, is it a mount, what else lies in it; and at this machine."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from drive_store.doctor.findings import FAIL, OK, WARN, Finding, size_text
from drive_store.doctor.ground import CHECK, TWIN, device_of, list_raw, look
from drive_store.paths import DISCOVERY, EXPERIMENTS
from drive_store.store.store import Store

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
    is_folder = look("look at", store.root or "/", lambda: Path(store.root or "/").is_dir())
    if is_folder:
        return Finding(check="folder", level=OK, found=f"{store.root} is there")
    return Finding(
        check="folder",
        level=FAIL,
        found=f"{store.root} is not there, or is no folder",
        advice="Mount Drive first; then make the folder, on one machine only, and wait until the other shows it.",
    )


def expects_drive(root: str) -> bool:
    """Say whether a path is one that only a mount of Google Drive has."""
    parts = Path(root).parts
    return parts[: len(_COLAB_MOUNT)] == _COLAB_MOUNT or not _DRIVE_PARTS.isdisjoint(parts)


def mount(store: Store) -> Finding:
    """Is it another device than this machine's own disk?"""
    own = {device_of("/"), device_of(tempfile.gettempdir())}
    if device_of(store.root or "/") not in own:
        return Finding(check="mount", level=OK, found="a mount of its own, not this machine's disk")
    if expects_drive(store.root):
        return Finding(
            check="mount",
            level=FAIL,
            found="lies on this machine's own disk, though its path is one of Google Drive: Drive is not mounted",
            advice="Move the folder away, since no other machine sees it unless Drive mirrors it, and mount Drive: "
            "drive.mount('/content/drive').",
        )
    return Finding(
        check="mount",
        level=WARN,
        found="lies on this machine's own disk",
        advice="Good for a swarm on this machine alone; other machines need a folder that they see too.",
    )


def still_there(store: Store, device: int | None) -> Finding:
    """Is it at the end the device that it was at the beginning?"""
    if device_of(store.root or "/") == device:
        return Finding(check="mount stays", level=OK, found="the same device from beginning to end")
    return Finding(
        check="mount stays",
        level=FAIL,
        found="another device than at the beginning: the folder was unmounted or mounted again meanwhile",
        advice="Mount it and run the doctor again; what was measured before is worth nothing.",
    )


def space(store: Store) -> Finding:
    """How much may still be written?"""
    free = store.free_space()
    if free is None:
        return Finding(
            check="free space",
            level=WARN,
            found="the folder does not say",
            advice="Look on drive.google.com; the trash counts.",
        )
    figures = {"free_bytes": float(free)}
    found = f"{size_text(free)} are free"
    level = FAIL if free < LEAST_FREE else WARN if free < ENOUGH_FREE else OK
    need = "With checkpoint.store_every_s large and tiny models it may do. " if level == WARN else ""
    advice = "" if level == OK else f"{need}Free some space: on Drive the trash counts until it is emptied."
    return Finding(check="free space", level=level, found=found, advice=advice, figures=figures)


def twins(store: Store) -> Finding:
    """Names that Drive shows for a second file or folder of one name."""
    places = ("", EXPERIMENTS, DISCOVERY, CHECK)
    found = [
        f"{place}/{name}".lstrip("/")
        for place in places
        for name in list_raw(f"{store.root}/{place}".rstrip("/"))
        if TWIN.search(name)
    ]
    if not found:
        return Finding(check="twins", level=OK, found="no name with ' (1)' in the folder")
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return Finding(
        check="twins",
        level=WARN,
        found=f"two of one name: {', '.join(repr(name) for name in found[:_MOST_NAMED])}{more}",
        advice="Two machines made them at once. Join or remove them on drive.google.com, before a swarm uses them.",
        figures={"twins": float(len(found))},
    )


def versions(found: Callable[[str], str] = version) -> Finding:
    """Are Python and fsspec of a version that the store was made for?"""
    fsspec = found("fsspec")
    numbers = tuple(int(part) for part in re.findall(r"\d+", fsspec)[:2])
    good = sys.version_info[:2] >= _LEAST_PYTHON and numbers >= _LEAST_FSSPEC
    return Finding(
        check="versions",
        level=OK if good else FAIL,
        found=f"Python {sys.version.split()[0]}, fsspec {fsspec}",
        advice="" if good else "Python 3.11 and fsspec 2025.3.0 are the least.",
    )
