"""GenRL's `Communication` over a shared folder: a stage's payloads are gathered, and values shown under names."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from genrl.communication import Communication

from drive_store import Valid
from drive_store.published import NamedValues, read_newest_value
from swarm_ray.genrl.gathering import Gathering
from swarm_ray.genrl.wire import MAX_BYTES, WireError, decode, encode
from swarm_ray.records.rollouts import RoundFile
from swarm_ray.records.state import Moment
from swarm_ray.sapo.phases import PhaseClock

NOTHING_TOLD = RoundFile(0, (), None, 0, 0)


class GameCommunication(Communication):  # type: ignore[misc, unused-ignore]
    """Payloads of one node of a game, and those of the others, by a gathering that is attached to it.

    `step_` is the round; a game manager sets it. `stage_` counts the gathers since `step_` changed; it may be set, too.
    If `step_` is never set, every gather is a round of its own, as in GenRL's own back ends.

    Args:
        node: our id.
    """

    def __init__(self, node: str) -> None:
        self._node = node
        self._gathering: Gathering | None = None
        self._step, self._is_told = 0, False
        self.stage_ = 0
        self.problems: list[str] = []
        """What went wrong and was tolerated, in words; the reader clears it."""
        self.missing: tuple[str, ...] = ()
        """Nodes whose files did not come to the last gather."""
        self.phases = PhaseClock(time.monotonic)
        """Counts the seconds of publishing, waiting and reading; a game manager gives its own."""
        self.telling = NOTHING_TOLD
        """What the first file of the next round tells of the round before."""
        self.counted: int | None = None
        """The node's own count of updates, for its files; the round if it is not set."""

    @property
    def step_(self) -> int:
        """The round."""
        return self._step

    @step_.setter
    def step_(self, number: int) -> None:
        self._is_told = True
        if number != self._step:
            self._step, self.stage_ = number, 0

    @property
    def gathering(self) -> Gathering:
        """What carries the payloads.

        Raises:
            RuntimeError: nothing is attached yet.
        """
        if self._gathering is None:
            raise RuntimeError(
                f"nothing carries the payloads of {self._node} yet: a game is played in run_game"
            )
        return self._gathering

    def attach(self, gathering: Gathering) -> None:
        """From here on payloads travel."""
        self._gathering, me = gathering, gathering.me
        self._values = NamedValues(gathering.experiment, me.node, me.incarnation)

    def tell(self, **said: Any) -> None:
        """Tell something of the round before in the next round's first file: fields of a `RoundFile`."""
        self.telling = msgspec.structs.replace(self.telling, **said)

    def get_id(self) -> str:
        """Our node's id."""
        return self._node

    def all_gather_object(self, obj: Any, *_args: Any, **_options: Any) -> dict[str, Any]:
        """Share our payload of this stage; answers node to payload, our own as it travels among them.

        Raises:
            WireError: our payload cannot travel; the message names the place.
            StopRequested: the experiment ended, or the worker was told to stop.
        """
        gathered = self.gathering.exchange(self.moment, self._file(encode(obj)), self.phases)
        if self._is_told:
            self.stage_ += 1
        else:
            self._step += 1
        self.missing = gathered.missing
        self.problems += gathered.problems
        if gathered.missing:
            self.problems.append(f"without {', '.join(gathered.missing)}: nothing came in time")
        return self._decoded(gathered.payloads)

    def put(self, obj: Any, sub_key: bytes = b"") -> None:
        """Show an object to the others under a key, in the place of the one before.

        Raises:
            WireError: it cannot travel.
            StoreError: it cannot be written.
        """
        self._values.put(sub_key, encode(obj))

    def get(self, sub_key: bytes = b"") -> dict[str, Any]:
        """What each node shows under a key now, the newest of each, without waiting.

        Raises:
            StoreError: the folder cannot be read.
        """
        peers, me = self.gathering.peers, self.gathering.me
        peers.look(now=True)
        lives = {node: [peer.incarnation for peer in peers.lives(node)] for node in peers.present()}
        lives[self._node] = [me.incarnation]
        shown = {node: self._shown(node, incarnations, sub_key) for node, incarnations in lives.items()}
        return self._decoded({node: data for node, data in shown.items() if data is not None})

    @property
    def moment(self) -> Moment:
        """The round and stage that the next gather is of."""
        return Moment(self._step, self.stage_)

    def _file(self, game: bytes) -> RoundFile:
        """Our file of this stage; the first of a round tells of the round before."""
        told = NOTHING_TOLD
        if self.stage_ == 0:
            told, self.telling = self.telling, NOTHING_TOLD
        step = self._step if self.counted is None else self.counted
        return msgspec.structs.replace(told, step=step, game=game)

    def _decoded(self, found: dict[str, bytes]) -> dict[str, Any]:
        """What the bytes mean, by node id; one node's that mean nothing are dropped, with the reason."""
        payloads = {}
        for node, data in sorted(found.items()):
            try:
                payloads[node] = decode(data)
            except WireError as error:
                self.problems.append(f"{node}: {error}")
        return payloads

    def _shown(self, node: str, incarnations: Sequence[str], name: bytes) -> bytes | None:
        """The newest value of the first of these incarnations that shows one."""
        experiment = self.gathering.experiment
        readings = (
            read_newest_value(
                experiment, node=node, incarnation=incarnation, name=name, max_payload=MAX_BYTES
            )
            for incarnation in incarnations
        )
        return next((reading.payload for reading in readings if isinstance(reading, Valid)), None)
