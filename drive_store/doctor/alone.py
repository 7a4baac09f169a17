"""What one machine finds out about a folder by itself."""

from __future__ import annotations

from drive_store.doctor import place, small_files, upload, writing
from drive_store.doctor.findings import FAIL, Finding
from drive_store.doctor.ground import Means, OwnFiles, tried
from drive_store.errors import StoreError
from drive_store.store.store import Store

LOOK_AGAIN = "Mend that, then run the doctor again; what follows was not looked at."


def look_at(store: Store) -> list[Finding]:
    """Look without writing; when the folder is not there, that is the only finding about it."""
    found = [place.versions(), tried("folder", lambda: place.folder(store))]
    if found[-1].level == FAIL:
        return found
    checks = (("mount", place.mount), ("free space", place.space), ("twins", place.twins))
    return found + [tried(name, lambda check=check: check(store)) for name, check in checks]  # type: ignore[misc]


def write_and_read(own: OwnFiles, means: Means, counts: tuple[int, ...]) -> list[Finding]:
    """Write, read, list and remove files of its own; ends with the first error of the store."""
    began = (means.wall(), means.clock())
    found: list[Finding] = []
    try:
        own.store.make_folder(own.folder)
        found.append(writing.one_file(own))
        found += small_files.many_files(own, means, counts)
        found += [writing.removal(own), writing.case(own), upload.upload(own, means)]
        found.append(writing.clocks(own, means, began))
    except StoreError as error:
        found.append(Finding(check="store", level=FAIL, found=str(error), advice=LOOK_AGAIN))
    return found
