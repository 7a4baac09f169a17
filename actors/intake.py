"""The files of the open stage: found by listing, read once, and accepted, superseded, late or rejected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from drive_store import ExperimentPaths, NotYet, Store, Valid, find_bucket_files, read_round_file
from drive_store.names import RoundFileName
from swarm_ray.errors import MalformedFile
from swarm_ray.exchange.round_files import MAX_ROUND_FILE, decode_round_file
from swarm_ray.records import FileRef, Member, Refusal, RoundFile


@dataclass
class Arrivals:
    """What came in for one round, and beside it, since the last record."""

    files: dict[str, RoundFile] = field(default_factory=dict)
    accepted: dict[str, FileRef] = field(default_factory=dict)
    late: list[FileRef] = field(default_factory=list)
    superseded: list[FileRef] = field(default_factory=list)
    rejected: list[Refusal] = field(default_factory=list)
    spent: set[str] = field(default_factory=set)
    """Nodes whose file of this round was rejected; one of an earlier round costs a node nothing."""

    def missing(self, members: Sequence[Member]) -> list[Member]:
        """Members of whose files of this round none was accepted or rejected."""
        return [m for m in members if m.node not in self.accepted and m.node not in self.spent]

    def reject(self, refusal: Refusal, *, of_this_round: bool) -> None:
        """Note a file that does not count."""
        self.rejected.append(refusal)
        if of_this_round:
            self.spent.add(refusal.node)


class Intake:
    """Reads members' files; the only place that lists N folders."""

    def __init__(self, store: Store, paths: ExperimentPaths) -> None:
        self._store, self._paths = store, paths
        self._settled: set[str] = set()
        """Keys of files that need no second look."""

    def collect(self, members: Sequence[Member], number: int, arrivals: Arrivals) -> list[str]:
        """Look for new files of `members` for round `number` (one listing each); answers the keys taken in."""
        taken = []
        for member in members:
            found = find_bucket_files(
                self._store,
                self._paths,
                member.node,
                member.incarnation,
                number,
                settled=self._settled,
            )
            for key, name in found:
                if name.round <= number and self._take(member, key, name, number, arrivals):
                    self._settled |= {key, key.replace(f" ({name.twin})", "")}
                    taken.append(key)
        return taken

    def _take(self, member: Member, key: str, name: RoundFileName, number: int, arrivals: Arrivals) -> bool:
        """Read one file and put it where it belongs; False when it is not whole yet."""
        reading = read_round_file(
            self._store,
            key,
            experiment=self._paths.experiment,
            node=member.node,
            incarnation=member.incarnation,
            sha256=None,
            max_payload=MAX_ROUND_FILE,
        )
        if isinstance(reading, NotYet):
            return False
        if not isinstance(reading, Valid):
            reason = f"{type(reading).__name__}: {reading.reason}"
            arrivals.reject(Refusal(member.node, key, reason), of_this_round=name.round == number)
            return True
        try:
            file = decode_round_file(reading.payload)
        except MalformedFile as error:
            arrivals.reject(Refusal(member.node, key, str(error)), of_this_round=name.round == number)
            return True
        ref = FileRef(member.node, member.incarnation, key, reading.sha256, len(reading.payload))
        if name.round < number:
            arrivals.late.append(ref)
        elif member.node in arrivals.accepted:
            arrivals.superseded.append(ref)
        else:
            arrivals.accepted[member.node], arrivals.files[member.node] = ref, file
        return True
