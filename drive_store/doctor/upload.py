"""Does the folder say when a file has left this machine? Drive's mount marks its files; on Colab that is unproved."""

from __future__ import annotations

import os

from drive_store.doctor.findings import OK, WARN, Finding, seconds
from drive_store.doctor.ground import Means, OwnFiles, look
from drive_store.store.transfer import UNCOMMITTED

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
        found = "the folder does not say when a file is uploaded; only the answers of other machines do"
        return Finding(check="upload", level=OK, found=found, figures=figures)
    if not all(marks.values()):
        means.say(f"waiting until a small file is uploaded (at most {UPLOAD_S:.0f} s)")
    while not all(marks.values()) and means.clock() - began <= UPLOAD_S:
        means.sleep(_POLL_S)
        marks = _marks(path)
    took = means.clock() - began
    if all(marks.values()):
        found = f"{' and '.join(marks)} say when a file is uploaded: after {seconds(took)}"
        return Finding(check="upload", level=OK, found=found, figures=figures | {"upload_s": round(took, 3)})
    return Finding(
        check="upload",
        level=WARN,
        found=f"a small file is not uploaded after {seconds(took)}, say {' and '.join(marks)}",
        advice="Wait until earlier uploads are through, and look at the quota on drive.google.com.",
        figures=figures,
    )


def _marks(path: str) -> dict[str, bool]:
    """What each mark that the file has says: whether it is uploaded."""

    def values() -> dict[str, bytes]:
        found = {}
        for name in (UNCOMMITTED, ID):
            try:
                found[name] = os.getxattr(path, name)
            except OSError:  # no such mark, or no marks at all
                continue
        return found

    found = look("look at", path, values)
    return {
        name: value.strip(b"\0 \n") == b"0" if name == UNCOMMITTED else not value.startswith(_LOCAL_ID)
        for name, value in found.items()
    }
