"""Rollouts that travel directly: own values into the DHT, those of peers out of it, and the folder for whatever fails.

The folder's file of a node is then a receipt. Who cannot fetch the value names it in its own next file; its owner puts
it into the folder, and publishes whole files for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import msgspec

from drive_store import (
    RETRYABLE,
    ExperimentStore,
    NotYet,
    payload_sha256,
)
from drive_store.names import parse_round_file_name
from swarm_ray.errors import LinkError
from swarm_ray.exchange.hivemind.link import DhtLink
from swarm_ray.exchange.hivemind.messages import MAX_VALUE
from swarm_ray.exchange.retransmission import Requesters, SentValue, SentValues, ValueRequest
from swarm_ray.exchange.validation import MAX_WANTS, decode_value, read_peer_value, receipt_problem, value_key
from swarm_ray.records.nodes import Reached
from swarm_ray.records.refusals import RefusalKind
from swarm_ray.records.rollouts import Receipt, RoundFile, Wanted
from swarm_ray.records.state import FileRef, Moment

T = TypeVar("T")

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
        self._staleness, self._value_s = staleness, value_s
        self._requested: dict[tuple[str, str], ValueRequest] = {}
        """What peers are asked for, by `ValueRequest.key`."""
        self._requesters, self._own = Requesters(), SentValues(experiment, staleness)
        self._fetched: dict[tuple[str, str], tuple[int, RoundFile]] = {}
        """Values that may be learned from again, with their bytes."""
        self._most_fetched = MOST_FETCHED if again else 0
        self._members: tuple[str, ...] = ()
        self.link: DhtLink | None = None
        """None while the link is down; then the folder carries everything."""
        self.problem = ""
        """Why the last value went through the folder although there is a link; empty when it did not."""
        self.reached: Reached | None = None
        """How the peers' rollouts of the last round came; None while direct links are not used."""

    @property
    def wants(self) -> tuple[Wanted, ...]:
        """What our next files ask of others."""
        return tuple(Wanted(*key) for key in self._requested)[-MAX_WANTS:]

    def reaches_peers(self, number: int) -> bool:
        """Whether rollouts of a round may travel directly."""
        carried = self._requesters.carry_all(number, self._members)
        return not carried and bool(self._call(lambda link: link.peers()))

    def pack(self, node: str, moment: Moment, file: RoundFile) -> tuple[RoundFile, bytes]:
        """The file with a receipt for its rollouts, and their value; the file as it is where none can be stored."""
        value = msgspec.msgpack.encode(file)
        sha256 = payload_sha256(value)
        key = value_key(self._uid, moment, node, sha256)
        if (parts := self._put(key, value)) is None:
            return file, b""
        self._own.keep(node, SentValue(moment, value, (self.lives[node],)))
        receipt = Receipt(key, sha256, len(value), parts, len(file.rollouts), bool(file.game))
        return msgspec.structs.replace(file, rollouts=(), game=b"", receipt=receipt), value

    def restore_value(self, node: str, moment: Moment, value: bytes, lives: Sequence[str]) -> None:
        """Store a value that an earlier process had stored: it may have died with that.

        Args:
            node: whose it is.
            moment: of which stage.
            value: as it was stored.
            lives: incarnations under which its receipt was published.
        """
        self._own.keep(node, SentValue(moment, value, tuple(lives)))
        self._put(value_key(self._uid, moment, node, payload_sha256(value)), value)

    def resolve(self, whole: Sequence[str], receipts: Sequence[tuple[FileRef, Receipt]]) -> list[Resolved]:
        """What receipts stand for, fetched several at a time.

        Args:
            whole: nodes whose files in the folder hold their rollouts.
            receipts: of the other files.
        """
        self._members = (*whole, *(ref.node for ref, _ in receipts))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            fetched = list(pool.map(lambda pair: self._fetch(*pair), receipts))
        for (ref, receipt), found in zip(receipts, fetched, strict=True):
            if isinstance(found.file, RoundFile):
                self._fetched[ref.node, receipt.sha256] = receipt.size, found.file
        while sum(size for size, _ in self._fetched.values()) > self._most_fetched:
            del self._fetched[next(iter(self._fetched))]
        if receipts or self.link is not None:
            self.reached = Reached(
                direct=tuple(sorted(f.ref.node for f in fetched if isinstance(f.file, RoundFile))),
                folder=tuple(sorted(whole)),
                asked=tuple(sorted(f.ref.node for f in fetched if isinstance(f.file, str))),
            )
        return fetched

    def late_values(self) -> list[Resolved]:
        """Values of earlier rounds that were asked for and lie in the folder by now."""
        oldest_first = sorted(self._requested.values(), key=lambda p: (p.moment, p.ref.node))
        found = [(p, file) for p in oldest_first if (file := self._from_folder(p)) is not None]
        for pending, _ in found:
            del self._requested[pending.key]
        return [Resolved(pending.ref, file) for pending, file in found]

    def answer_requests(self, number: int, wants: Sequence[tuple[str, Sequence[Wanted]]]) -> None:
        """Put into the folder what others could not fetch of ours, and give up what we asked for too long ago.

        A folder out of reach is not an error: they ask again.

        Args:
            number: the round.
            wants: nodes, and what their files of it ask for.
        """
        self._requested = {
            k: p for k, p in self._requested.items() if p.moment.round + self._staleness >= number
        }
        self._own.expire(number)
        for node, wanted in wants:
            asked = {(want.node, want.sha256) for want in wanted if want.node in self.lives}
            if asked:
                self._requesters.note(node, number)
                self.problem = self._own.share(asked, number) or self.problem

    def _put(self, key: str, value: bytes) -> int | None:
        """Store a value; None where that fails, and the folder carries it."""
        if len(value) > MAX_VALUE:
            return None
        parts = self._call(lambda link: link.put(key, value, self._value_s))
        if parts is not None:
            self.problem = ""
        return parts

    def _call(self, call: Callable[[DhtLink], T]) -> T | None:
        """What the link answers; None where it is down, or fails."""
        if self.link is None or not self.link.alive:
            return None
        try:
            return call(self.link)
        except LinkError as error:
            self.problem = str(error)
            return None

    def _fetch(self, ref: FileRef, receipt: Receipt) -> Resolved:
        """What a receipt stands for: directly, else from the folder, else it is asked for."""
        name = parse_round_file_name(ref.key.rpartition("/")[2])
        if name is None:
            return Resolved(ref, "a receipt under a name that does not fit a round file")
        pending = ValueRequest(ref, Moment(name.round, name.stage), receipt)
        if problem := receipt_problem(receipt, self._uid, pending.moment, ref.node):
            return Resolved(ref, problem)
        if (known := self._fetched.get(pending.key)) is not None:
            return Resolved(ref, known[1])
        found = self._directly(pending) or self._from_folder(pending)
        if found is None:
            self._requested[pending.key] = pending
            return Resolved(ref, f"{RefusalKind.NOT_FETCHED}; its owner was asked for it")
        self._requested.pop(pending.key, None)
        return Resolved(ref, found)

    def _directly(self, pending: ValueRequest) -> RoundFile | str | None:
        """A value from the DHT; None if it cannot be fetched."""
        said = pending.receipt
        value = self._call(lambda link: link.get(said.key, said.parts, said.size, said.sha256, self._value_s))
        return None if value is None else decode_value(value, said)

    def _from_folder(self, pending: ValueRequest) -> RoundFile | str | None:
        """A value that its owner put into the folder; None while it is not to be seen."""
        try:
            found = read_peer_value(self._experiment, pending.ref, pending.moment, pending.receipt)
        except RETRYABLE:
            return None
        return None if isinstance(found, NotYet) else found
