"""One examination, from the first look to the report in the folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec

from drive_store.doctor import mount, one_machine, pair
from drive_store.doctor.report import FAIL, OK, Finding, Findings, is_slow, settings, verdict, worst
from drive_store.doctor.workspace import CHECK, Means, OwnFiles, SessionPaths, device_of, tried
from drive_store.errors import InvalidName, StoreError
from drive_store.names import new_incarnation, require_id
from drive_store.store.store import Store

LOOK_AGAIN = "Fix that, then run the doctor again; what follows was not checked."


def look_at(store: Store) -> list[Finding]:
    """Look without writing; when the folder is not there, that is the only finding about it."""
    found = [mount.versions(), tried("folder", lambda: mount.folder(store))]
    if found[-1].level == FAIL:
        return found
    checks = (("mount", mount.mount), ("free space", mount.space), ("twins", mount.twins))
    return found + [tried(name, lambda check=check: check(store)) for name, check in checks]  # type: ignore[misc]


def write_and_read(own: OwnFiles, means: Means, counts: tuple[int, ...]) -> list[Finding]:
    """Write, read, list and remove files of its own; ends with the first error of the store."""
    began = (means.wall(), means.clock())
    found: list[Finding] = []
    try:
        own.store.make_folder(own.folder)
        found.append(one_machine.one_file(own))
        found += one_machine.many_files(own, means, counts)
        found += [one_machine.removal(own), one_machine.case(own), mount.upload(own, means)]
        found.append(one_machine.clocks(own, means, began))
    except StoreError as error:
        found.append(Finding("store", FAIL, str(error), LOOK_AGAIN))
    return found


FULL = (100, 1000)
"""Small files that one machine writes; a listing is timed at each of these numbers."""
FEW = (20,)
"""The same before a meeting: on Drive, hundreds of files to upload would stand in the way of those that are timed."""
ROUNDS = 20
WAIT_S = 900.0


def examine(
    store: Store,
    *,
    pair_name: str | None = None,
    rounds: int = ROUNDS,
    wait_s: float = WAIT_S,
    counts: tuple[int, ...] | None = None,
    say: Callable[[str], object] | None = None,
    means: Means | None = None,
) -> Findings:
    """Say whether a swarm can run over a folder, and with which settings.

    Writes only into a folder of its own, `<root>/check/<session>/<id>`, which it removes at its end (on Ctrl-C too),
    and a report beside it; with another machine also a registration, a heartbeat and three small files beside it,
    which it removes too. Every wait ends in time.

    Args:
        store: the folder.
        pair_name: what both of two machines are given to find each other; None looks from this machine alone.
        rounds: how often a file goes to the other machine and back, at most; the smaller number of the two counts.
        wait_s: how long the other machine, and each of its files, is waited for.
        counts: small files to write, ascending; None: `FULL` alone, `FEW` with another machine.
        say: called with a line for each step.
        means: the clocks and the like; None takes those of the system.

    Raises:
        InvalidName: `pair_name` is not a valid id, or `rounds` is out of range.
    """
    if not 1 <= rounds <= pair.MOST_ROUNDS:
        raise InvalidName(f"{rounds} rounds cannot be measured: 1 to {pair.MOST_ROUNDS} can.")
    own_id, means = new_incarnation(), means or Means()
    if say is not None:
        means = replace(means, say=say)
    session = f"alone-{own_id}" if pair_name is None else require_id(pair_name, "name of a pair")
    own = OwnFiles(store, SessionPaths(session), own_id)
    found, together, left_bytes = look_at(store), pair.Together(), 0
    if not any(finding.check == "folder" and finding.level == FAIL for finding in found):
        device = device_of(store.root or "/")
        try:
            found += write_and_read(own, means, counts or (FULL if pair_name is None else FEW))
            failing = [finding.check for finding in found if finding.level == FAIL]
            if pair_name is not None and failing:
                found.append(
                    Finding(
                        "other machine",
                        FAIL,
                        f"not waited for, since this fails here: {', '.join(failing)}",
                        "Fix that first.",
                    )
                )
            elif pair_name is not None:
                together = pair.together(own, means, rounds=rounds, wait_s=wait_s)
                found += together.findings
            found.append(tried("mount stays", lambda: mount.still_there(store, device)))
        finally:
            left_bytes = own.clear()
            if left_bytes:
                means.say(f"{left_bytes} bytes could not be removed from {store.root}/{own.folder}")
    findings = _concluded(found, together, own, paired=pair_name is not None)
    return _reported(msgspec.structs.replace(findings, remains_bytes=left_bytes), store, means)


def _concluded(found: list[Finding], together: pair.Together, own: OwnFiles, *, paired: bool) -> Findings:
    """The findings with their verdict and the settings that follow from them."""
    # Two ends of one machine say nothing of others.
    p50_s, p99_s = (None, None) if together.one_machine else (together.p50_s, together.p99_s)
    marked = any(f.check == "upload" and any(f.figures.get(m) for m in ("id", "uncommitted")) for f in found)
    slow = is_slow(
        p99_s,
        drive=marked or mount.expects_drive(own.store.root),
        own_disk=any(finding.check == "mount" and finding.level != OK for finding in found),
    )
    level = worst(found)
    pace = {} if level == FAIL else settings(p50_s, together.p99_s, together.samples, slow=slow)
    return Findings(
        root=own.store.root,
        session=own.paths.experiment,
        id=own.id,
        level=level,
        verdict=verdict(found, p99_s, paired=paired),
        findings=tuple(found),
        preset="colab" if slow else "tiny",
        settings=tuple(f"pace.{key}={value}" for key, value in pace.items()),
    )


def _reported(findings: Findings, store: Store, means: Means) -> Findings:
    """The findings with the path of their report, where it could be written."""
    if not any(finding.check == "writing" for finding in findings.findings):
        return findings
    key = f"{CHECK}/{findings.session}/report-{findings.id}.json"
    written = msgspec.structs.replace(findings, report=f"{store.root}/{key}")
    try:
        store.create(key, msgspec.json.format(msgspec.json.encode(written), indent=2) + b"\n")
    except StoreError as error:
        means.say(f"the report was not written: {error}")
        return findings
    return written
