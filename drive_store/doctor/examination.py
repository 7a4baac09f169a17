"""One examination, from the first look to the report in the folder."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from drive_store.doctor import advice, mount, one_machine, pair
from drive_store.doctor.report import FAIL, OK, Finding, Findings, worst
from drive_store.doctor.workspace import CHECK, Means, OwnFiles, device_of, tried
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
        found.append(Finding(check="store", level=FAIL, found=str(error), advice=LOOK_AGAIN))
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
    means: Means | None = None,
    open_store: Callable[[str], Store] = Store,
) -> Findings:
    """Say whether a swarm can run over a folder, and with which settings.

    Writes only into a folder of its own, `<root>/check/<session>/<id>`, which it removes at its end (on Ctrl-C too),
    and a report beside it; with another machine also three small files beside it. Every wait ends in time.

    Args:
        store: the folder.
        pair_name: what both of two machines are given to find each other; None looks from this machine alone.
        rounds: how often a file goes to the other machine and back, at most; the smaller number of the two counts.
        wait_s: how long the other machine, and each of its files, is waited for.
        counts: small files to write, ascending; None: `FULL` alone, `FEW` with another machine.
        means: clocks, and who is told of each step; None takes those of the system, and tells nobody.
        open_store: opens a folder that Drive shows a second time.

    Raises:
        InvalidName: `pair_name` is not a valid id, or `rounds` is out of range.
    """
    if not 1 <= rounds <= pair.MOST_ROUNDS:
        raise InvalidName(f"{rounds} rounds cannot be measured: 1 to {pair.MOST_ROUNDS} can.")
    own_id = new_incarnation()
    session = f"alone-{own_id}" if pair_name is None else require_id(pair_name, "name of a pair")
    examination = _Examination(store, session, own_id, means or Means())
    if examination.is_there():
        with examination:
            examination.look(counts or (FULL if pair_name is None else FEW))
            if pair_name is not None:
                examination.meet(rounds, wait_s, open_store)
            examination.look_again()
    return examination.conclude(paired=pair_name is not None)


class _Examination:
    """What was found so far; as a context it removes its own files at the end, however that comes."""

    def __init__(self, store: Store, session: str, own_id: str, means: Means) -> None:
        self._store, self._session, self._own_id, self._means = store, session, own_id, means
        self._own = OwnFiles(store, f"{CHECK}/{session}/{own_id}")
        self._found: list[Finding] = []
        self._together = pair.Together()
        self._left_bytes = 0
        self._device: int | None = None

    def __enter__(self) -> None:
        """Begin to write."""
        self._device = device_of(self._store.root or "/")

    def __exit__(self, *_: object) -> None:
        """Remove what was written."""
        self._left_bytes = self._own.clear()
        if self._left_bytes:
            self._means.say(
                f"{self._left_bytes} bytes could not be removed from {self._store.root}/{self._own.folder}"
            )

    def is_there(self) -> bool:
        """Look without writing; say whether there is a folder to write into."""
        self._found = look_at(self._store)
        return not any(finding.check == "folder" and finding.level == FAIL for finding in self._found)

    def look(self, counts: tuple[int, ...]) -> None:
        """What this machine finds out by itself."""
        self._found += write_and_read(self._own, self._means, counts)

    def look_again(self) -> None:
        """Is it still the folder that it was?"""
        self._found.append(tried("mount stays", lambda: mount.still_there(self._store, self._device)))

    def meet(self, rounds: int, wait_s: float, open_store: Callable[[str], Store]) -> None:
        """What it finds out with another machine; nobody is waited for while something fails here."""
        failing = [finding.check for finding in self._found if finding.level == FAIL]
        if failing:
            found = f"not waited for, since this fails here: {', '.join(failing)}"
            self._found.append(
                Finding(check="other machine", level=FAIL, found=found, advice="Fix that first.")
            )
            return
        self._together = pair.together(
            self._own,
            self._session,
            self._own_id,
            self._means,
            rounds=rounds,
            wait_s=wait_s,
            open_store=open_store,
        )
        self._found += self._together.findings

    def conclude(self, *, paired: bool) -> Findings:
        """Make settings and a verdict of what was found, and write all into the folder."""
        seen, level = self._together, worst(self._found)
        slow = advice.is_slow(seen.between_machines_s, drive=self._is_drive(), own_disk=self._is_own_disk())
        pace = (
            {}
            if level == FAIL
            else advice.settings(seen.median_between_machines_s, seen.p99_s, seen.samples, slow=slow)
        )
        findings = Findings(
            root=self._store.root,
            session=self._session,
            id=self._own_id,
            level=level,
            verdict=advice.verdict(self._found, seen.between_machines_s, paired=paired),
            findings=tuple(self._found),
            preset="colab" if slow else "tiny",
            settings=tuple(f"pace.{key}={value}" for key, value in pace.items()),
            remains_bytes=self._left_bytes,
        )
        return self._reported(findings)

    def _is_drive(self) -> bool:
        marked = any(
            f.check == "upload" and any(f.figures.get(m) for m in ("id", "uncommitted")) for f in self._found
        )
        return marked or mount.expects_drive(self._store.root)

    def _is_own_disk(self) -> bool:
        return any(finding.check == "mount" and finding.level != OK for finding in self._found)

    def _reported(self, findings: Findings) -> Findings:
        """The findings with the path of their report, where it could be written."""
        if not any(finding.check == "writing" for finding in self._found):
            return findings
        key = f"{CHECK}/{self._session}/report-{self._own_id}.json"
        findings = msgspec.structs.replace(findings, report=f"{self._store.root}/{key}")
        try:
            self._store.create(key, msgspec.json.format(msgspec.json.encode(findings), indent=2) + b"\n")
        except StoreError as error:
            self._means.say(f"the report was not written: {error}")
            return msgspec.structs.replace(findings, report="")
        return findings
