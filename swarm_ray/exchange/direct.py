"""Rollouts that travel directly: own values into the DHT, those of peers out of it, and the folder for all that fails.

The folder's file of a node is then a receipt. Who cannot fetch the value names it in its own next file; its owner puts
it into the folder, and publishes whole files for a while.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import msgspec

from drive_store import (
    ExperimentPaths,
    NotYet,
    Store,
    StoreError,
    Valid,
    payload_sha256,
    publish_value,
    read_value,
)
from drive_store.names import parse_round_file_name
from swarm_ray.errors import LinkError, MalformedFile
from swarm_ray.exchange.asking import Asked, Askers, Pending
from swarm_ray.exchange.away import AWAY
from swarm_ray.exchange.receipts import (
    MAX_VALUE,
    check_receipt,
    encode_value,
    receipt_for,
    value_key,
)
from swarm_ray.exchange.round_files import MAX_ROUND_FILE, decode_round_file
from swarm_ray.moments import Moment
from swarm_ray.records import FileRef, Reached, RoundFile, Wanted
from swarm_ray.sapo.pool import PeerFile

AT_ONCE = 8
"""Values that are fetched at the same time."""
KEPT_VALUES = 64
"""Own values that are kept for those who ask, and values of peers that were fetched; the newest."""


class ValueLink(Protocol):
    """A direct link to peers; `swarm_ray.dht.link.DhtLink` is one. Every call ends within its deadline."""

    @property
    def alive(self) -> bool:
        """Whether it works at all."""
        ...

    def put(self, key: str, value: bytes, within_s: float) -> int:
        """Store a value; answers in how many parts."""
        ...

    def get(self, key: str, parts: int, size: int, sha256: str, within_s: float) -> bytes:
        """Fetch a value, whole and with this hash."""
        ...

    def peers(self) -> set[str]:
        """Ids of the peers that it is connected to."""
        ...

    def close(self) -> None:
        """End it; harmless when repeated."""
        ...


class DirectValues:
    """What a trainer's exchange asks about values that are not in the files themselves.

    Args:
        store: the shared folder.
        paths: the experiment's paths.
        uid: the experiment's, which no other has.
        lives: own nodes and their incarnations.
        staleness: values of so many rounds before may still be learned from.
        value_s: seconds that one value may take.
    """

    def __init__(
        self,
        store: Store,
        paths: ExperimentPaths,
        uid: str,
        lives: Mapping[str, str],
        *,
        staleness: int,
        value_s: float,
    ) -> None:
        self._store, self._paths, self._uid, self._lives = store, paths, uid, lives
        self._value_s = value_s
        self._asked, self._askers = Asked(staleness), Askers()
        self._own: OrderedDict[str, tuple[str, Moment, bytes]] = OrderedDict()
        self._fetched: OrderedDict[str, PeerFile] = OrderedDict()
        self._members: tuple[str, ...] = ()
        self.link: ValueLink | None = None
        """None while there is none; then the folder carries all."""
        self.problem = ""
        """Why the last value went through the folder although there is a link; empty when it did not."""
        self.reached: Reached | None = None
        """How the peers' rollouts of the last round came; None while nobody uses direct links."""

    def pack(self, node: str, number: int, file: RoundFile) -> tuple[RoundFile, bytes]:
        """The file to publish, and the value that it stands for; empty where the file holds its rollouts itself."""
        wants = self._asked.wants()
        whole = _with_wants(file, wants)
        if file.alone or not self._goes_directly(number):
            return whole, b""
        moment, value = Moment(number), encode_value(file)
        sha256 = payload_sha256(value)
        key = value_key(self._uid, moment, node, sha256)
        parts = self._put(key, value)
        if parts is None:
            return whole, b""
        self.keep(node, moment, value)
        return _with_wants(receipt_for(key, value, parts, file), wants), value

    def keep(self, node: str, moment: Moment, value: bytes) -> None:
        """Have an own value ready for those who ask."""
        self._own[payload_sha256(value)] = (node, moment, value)
        while len(self._own) > KEPT_VALUES:
            self._own.popitem(last=False)

    def put_again(self, node: str, number: int, value: bytes) -> None:
        """Store a value that an earlier process had stored: it may have died with that."""
        self.keep(node, Moment(number), value)
        if self.link is not None and self.link.alive:
            self._put(value_key(self._uid, Moment(number), node, payload_sha256(value)), value)

    def resolve(self, files: Sequence[tuple[FileRef, RoundFile]]) -> list[PeerFile]:
        """The rollouts of files that were read from the folder, those of receipts fetched, several at a time."""
        self._members = tuple(ref.node for ref, _ in files)
        whole = [PeerFile(ref.node, file.rollouts) for ref, file in files if file.receipt is None]
        receipts = [(ref, file) for ref, file in files if file.receipt is not None]
        with ThreadPoolExecutor(min(AT_ONCE, max(1, len(receipts)))) as pool:
            fetched = list(pool.map(lambda pair: self._fetch(*pair), receipts))
        if not receipts and self.link is None:
            return whole
        self.reached = Reached(
            direct=tuple(sorted(f.node for f in fetched if not f.refused)),
            folder=tuple(sorted(f.node for f in whole)),
            asked=tuple(sorted(f.node for f in fetched if f.refused)),
        )
        return whole + fetched

    def overdue(self, number: int) -> list[PeerFile]:
        """Values of earlier rounds that were asked for and lie in the folder by now."""
        found = []
        for pending in self._asked.open(number):
            rollouts = self._from_folder(pending)
            if rollouts is not None:
                self._asked.drop(pending)
                found.append(rollouts)
        return found

    def heed(self, number: int, files: Sequence[tuple[FileRef, RoundFile]]) -> None:
        """Put into the folder what others could not fetch of ours.

        A folder out of reach is no error: they ask again.
        """
        for ref, file in files:
            asked = [want for want in file.wants if want.node in self._lives]
            if asked:
                self._askers.note(ref.node, number)
            hashes = {want.sha256 for want in asked}
            for sha256, (_, moment, _) in list(self._own.items()):
                # That of this round was a receipt too, and would be asked for next.
                if sha256 in hashes or (asked and moment.round >= number):
                    self._share(sha256)

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

    def _fetch(self, ref: FileRef, file: RoundFile) -> PeerFile:
        """What a receipt stands for: directly, else from the folder, else it is asked for."""
        name, receipt = parse_round_file_name(ref.key.rpartition("/")[2]), file.receipt
        if name is None or receipt is None:
            return PeerFile(ref.node, refused="a receipt under a name that is no round file's")
        pending = Pending(ref, Moment(name.round, name.stage), receipt)
        try:
            check_receipt(receipt, self._uid, pending.moment, ref.node)
        except MalformedFile as error:
            return PeerFile(ref.node, refused=str(error))
        if receipt.sha256 in self._fetched:
            return self._fetched[receipt.sha256]
        found = self._directly(pending) or self._from_folder(pending)
        if found is None:
            self._asked.add(pending)
            return PeerFile(ref.node, refused="could not be fetched directly; its owner was asked for it")
        self._asked.drop(pending)
        self._fetched[receipt.sha256] = found  # in async pace the same file may be learned from again
        while len(self._fetched) > KEPT_VALUES:
            self._fetched.popitem(last=False)
        return found

    def _directly(self, pending: Pending) -> PeerFile | None:
        """A value out of the DHT; None where it cannot be had."""
        if self.link is None or not self.link.alive:
            return None
        said = pending.receipt
        try:
            value = self.link.get(said.key, said.parts, said.size, said.sha256, self._value_s)
        except LinkError as error:
            self.problem = str(error)
            return None
        return _opened(pending.ref.node, value)

    def _from_folder(self, pending: Pending) -> PeerFile | None:
        """A value that its owner put into the folder; None while it is not to be seen."""
        ref, moment = pending.ref, pending.moment
        try:
            reading = read_value(
                self._store,
                self._paths,
                node=ref.node,
                incarnation=ref.incarnation,
                round=moment.round,
                stage=moment.stage,
                sha256=pending.receipt.sha256,
                max_payload=MAX_ROUND_FILE,
            )
        except AWAY:
            return None
        if isinstance(reading, NotYet):
            return None
        if not isinstance(reading, Valid):
            return PeerFile(ref.node, refused=f"{type(reading).__name__}: {reading.reason}")
        return _opened(ref.node, reading.payload)

    def _share(self, sha256: str) -> None:
        """Put an own value into the folder; one that is there already stays as it is."""
        node, moment, value = self._own[sha256]
        try:
            publish_value(
                self._store,
                self._paths,
                node=node,
                incarnation=self._lives[node],
                round=moment.round,
                stage=moment.stage,
                value=value,
            )
        except StoreError as error:
            self.problem = f"a value that was asked for could not be put into the folder: {error}"
            return
        del self._own[sha256]


def _with_wants(file: RoundFile, wants: tuple[Wanted, ...]) -> RoundFile:
    return msgspec.structs.replace(file, wants=wants) if wants else file


def _opened(node: str, value: bytes) -> PeerFile:
    """The rollouts in a value, whoever delivered it."""
    try:
        return PeerFile(node, decode_round_file(value).rollouts)
    except MalformedFile as error:
        return PeerFile(node, refused=str(error))
