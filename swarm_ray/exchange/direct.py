"""Rollouts that travel directly: own values into the DHT, those of peers out of it, and the folder for whatever fails.

The folder's file of a node is then a receipt. Who cannot fetch the value names it in its own next file; its owner puts
it into the folder, and publishes whole files for a while.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec

from drive_store import (
    RETRYABLE,
    ExperimentStore,
    NotYet,
    payload_sha256,
)
from drive_store.names import parse_round_file_name
from swarm_ray.errors import LinkError, MalformedFile
from swarm_ray.exchange.hivemind.link import DhtLink
from swarm_ray.exchange.hivemind.messages import MAX_VALUE
from swarm_ray.exchange.retransmission import (
    PendingRequests,
    Requesters,
    SentValue,
    SentValues,
    ValueRequest,
)
from swarm_ray.exchange.validation import check_receipt, decode_value, read_peer_value, value_key
from swarm_ray.records.nodes import Reached
from swarm_ray.records.refusals import RefusalKind
from swarm_ray.records.rollouts import Receipt, RoundFile, Wanted
from swarm_ray.records.state import FileRef, Moment

AT_ONCE = 8
"""Values that are fetched at the same time."""
MOST_FETCHED = 32 << 20
"""Bytes of peers' values that are kept, as they travelled; in memory they may be four times as large."""


class Resolved(NamedTuple):
    """A peer's file with what it stands for."""

    ref: FileRef
    """Of the file in the folder."""
    file: RoundFile | str
    """Whole; or why it is missing."""


class DirectValues:
    """What a trainer's exchange asks about values that are not in the files themselves.

    Args:
        experiment: the experiment in the shared folder.
        uid: the experiment's unique id.
        lives: own nodes and their incarnations.
        staleness: values of so many rounds before may still be learned from; with 0 none is put into the folder when it
            was asked for, for nobody could use it.
        value_s: seconds that one value may take.
        again: whether a file may be learned from in more than one round, as in async pace.
    """

    def __init__(
        self,
        experiment: ExperimentStore,
        uid: str,
        lives: Mapping[str, str],
        *,
        staleness: int,
        value_s: float,
        again: bool = False,
    ) -> None:
        self._experiment, self._uid = experiment, uid
        self.lives = lives
        """Own nodes and their incarnations."""
        self._value_s = value_s
        self._asked, self._askers = PendingRequests(staleness), Requesters()
        self._own = SentValues(experiment, staleness)
        self._fetched: OrderedDict[tuple[str, str], tuple[int, RoundFile]] = OrderedDict()
        self._most_fetched = MOST_FETCHED if again else 0
        self._members: tuple[str, ...] = ()
        self.link: DhtLink | None = None
        """None while the link is down; then the folder carries everything."""
        self.problem = ""
        """Why the last value went through the folder although there is a link; empty when it did not."""
        self.reached: Reached | None = None
        """How the peers' rollouts of the last round came; None while direct links are not used."""

    def pack(self, node: str, moment: Moment, file: RoundFile) -> tuple[RoundFile, bytes]:
        """The file to publish, and the value that it stands for; empty where the file holds its rollouts itself."""
        wants = self._asked.wants()
        whole = _with_wants(file, wants)
        if file.alone or not self._goes_directly(moment.round):
            return whole, b""
        value = msgspec.msgpack.encode(msgspec.structs.replace(file, wants=()))
        sha256 = payload_sha256(value)
        key = value_key(self._uid, moment, node, sha256)
        parts = self._put(key, value)
        if parts is None:
            return whole, b""
        self._own.keep(node, SentValue(moment, value, (self.lives[node],)))
        return _with_wants(_receipt_for(key, value, parts, file), wants), value

    def restore_value(self, node: str, moment: Moment, value: bytes, lives: Sequence[str]) -> None:
        """Store a value that an earlier process had stored: it may have died with that.

        Args:
            node: whose it is.
            moment: of which stage.
            value: as it was stored.
            lives: incarnations under which its receipt was published.
        """
        self._own.keep(node, SentValue(moment, value, tuple(lives)))
        if self.link is not None and self.link.alive:
            self._put(value_key(self._uid, moment, node, payload_sha256(value)), value)

    def resolve(self, files: Sequence[tuple[FileRef, RoundFile]]) -> list[Resolved]:
        """Files that were read from the folder, whole; what receipts stand for is fetched, several at a time."""
        said = {ref.key: file.receipt for ref, file in files if file.receipt is not None}
        self._members = tuple(ref.node for ref, _ in files)
        whole = [Resolved(ref, file) for ref, file in files if file.receipt is None]
        receipts = [(ref, file) for ref, file in files if file.receipt is not None]
        with ThreadPoolExecutor(min(AT_ONCE, max(1, len(receipts)))) as pool:
            fetched = list(pool.map(lambda pair: self._fetch(*pair), receipts))
        for ref, found in fetched:
            if isinstance(found, RoundFile):
                self._remember(ref.node, said[ref.key], found)
        if not receipts and self.link is None:
            return whole
        self.reached = Reached(
            direct=tuple(sorted(f.ref.node for f in fetched if isinstance(f.file, RoundFile))),
            folder=tuple(sorted(f.ref.node for f in whole)),
            asked=tuple(sorted(f.ref.node for f in fetched if isinstance(f.file, str))),
        )
        return whole + fetched

    def late_values(self) -> list[Resolved]:
        """Values of earlier rounds that were asked for and lie in the folder by now."""
        found = []
        for pending in self._asked.open():
            file = self._from_folder(pending)
            if file is not None:
                self._asked.drop(pending)
                found.append(Resolved(pending.ref, file))
        return found

    def answer_requests(self, number: int, files: Sequence[tuple[FileRef, RoundFile]]) -> None:
        """Put into the folder what others could not fetch of ours, and give up what we asked for too long ago.

        A folder out of reach is not an error: they ask again.
        """
        self._asked.expire(number)
        self._own.expire(number)
        for ref, file in files:
            asked = {(want.node, want.sha256) for want in file.wants if want.node in self.lives}
            if asked:
                self._askers.note(ref.node, number)
                self.problem = self._own.share(asked, number) or self.problem

    def _goes_directly(self, number: int) -> bool:
        link = self.link
        if link is None or not link.alive or self._askers.carry_all(number, self._members):
            return False
        try:
            return bool(link.peers())
        except LinkError as error:
            self.problem = str(error)
            return False

    def _put(self, key: str, value: bytes) -> int | None:
        """Store a value; None where that fails, and the folder carries it."""
        if self.link is None or len(value) > MAX_VALUE:
            return None
        try:
            parts = self.link.put(key, value, self._value_s)
        except LinkError as error:
            self.problem = str(error)
            return None
        self.problem = ""
        return parts

    def _fetch(self, ref: FileRef, file: RoundFile) -> Resolved:
        """What a receipt stands for: directly, else from the folder, else it is asked for."""
        name, receipt = parse_round_file_name(ref.key.rpartition("/")[2]), file.receipt
        if name is None or receipt is None:
            return Resolved(ref, "a receipt under a name that does not fit a round file")
        pending = ValueRequest(ref, Moment(name.round, name.stage), receipt)
        try:
            check_receipt(receipt, self._uid, pending.moment, ref.node)
        except MalformedFile as error:
            return Resolved(ref, str(error))
        if (known := self._fetched.get(pending.key)) is not None:
            return Resolved(ref, known[1])
        found = self._directly(pending) or self._from_folder(pending)
        if found is None:
            self._asked.add(pending)
            return Resolved(ref, f"{RefusalKind.NOT_FETCHED}; its owner was asked for it")
        self._asked.drop(pending)
        return Resolved(ref, found)

    def _directly(self, pending: ValueRequest) -> RoundFile | str | None:
        """A value from the DHT; None if it cannot be fetched."""
        if self.link is None or not self.link.alive:
            return None
        said = pending.receipt
        try:
            value = self.link.get(said.key, said.parts, said.size, said.sha256, self._value_s)
        except LinkError as error:
            self.problem = str(error)
            return None
        return decode_value(value, said)

    def _from_folder(self, pending: ValueRequest) -> RoundFile | str | None:
        """A value that its owner put into the folder; None while it is not to be seen."""
        try:
            found = read_peer_value(self._experiment, pending.ref, pending.moment, pending.receipt)
        except RETRYABLE:
            return None
        return None if isinstance(found, NotYet) else found

    def _remember(self, node: str, receipt: Receipt, file: RoundFile) -> None:
        """Keep a value that may be learned from again, in place of the oldest."""
        self._fetched[node, receipt.sha256] = receipt.size, file
        while sum(size for size, _ in self._fetched.values()) > self._most_fetched:
            self._fetched.popitem(last=False)


def _receipt_for(key: str, value: bytes, parts: int, file: RoundFile) -> RoundFile:
    """The round file that stands in the folder for one whose value is in the DHT."""
    receipt = Receipt(key, payload_sha256(value), len(value), parts, len(file.rollouts), bool(file.game))
    return msgspec.structs.replace(file, rollouts=(), game=b"", receipt=receipt)


def _with_wants(file: RoundFile, wants: tuple[Wanted, ...]) -> RoundFile:
    return msgspec.structs.replace(file, wants=wants) if wants else file
