"""GenRL's `Communication` and coordinator over a shared folder: a stage's payloads are gathered, values are shown."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import msgspec
from genrl.communication import Communication

from drive_store import Valid
from drive_store.published import NamedValues, read_newest_value
from swarm_ray.errors import SwarmError
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
        self._gathering = gathering

    @cached_property
    def _values(self) -> NamedValues:
        me = self.gathering.me
        return NamedValues(self.gathering.experiment, me.node, me.incarnation)

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
        game, told = encode(obj), NOTHING_TOLD
        if self.stage_ == 0:  # the first file of a round tells of the round before
            told, self.telling = self.telling, NOTHING_TOLD
        step = self._step if self.counted is None else self.counted
        file = msgspec.structs.replace(told, step=step, game=game)
        gathered = self.gathering.exchange(self.moment, file, self.phases)
        if self._is_told:
            self.stage_ += 1
        else:
            self._step += 1
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


class ImpossibleSubmission(SwarmError):
    """Something was submitted for a round that is not played, by another node, or is not a number."""


class GameCoordinator:
    """GenRL's coordinator without a blockchain: rounds are read from the folder, rewards and winners travel with files.

    It has the methods of `genrl.blockchain.SwarmCoordinator` that games call, and answers for one node. What it is told
    goes with the node's next file, where everybody can read it; the coordinator of the experiment, if there is one,
    counts it into its state log.

    Args:
        communication: our node's.
        opened: the stage that the state log has open; answers None without a state log.
        bootnodes: multiaddrs of nodes that can be reached directly.
    """

    def __init__(
        self,
        communication: GameCommunication,
        opened: Callable[[], Moment | None] = lambda: None,
        bootnodes: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._communication, self._opened, self._bootnodes = communication, opened, bootnodes

    def register_peer(self, peer_id: str) -> None:
        """The transport has registered the node already; harmless when repeated.

        Raises:
            ImpossibleSubmission: it is another node's id.
        """
        self._require_own(peer_id)

    def get_round_and_stage(self) -> tuple[int, int]:
        """Where the swarm is: what the state log has open, else the furthest that any living node is."""
        opened = self._opened()
        if opened is not None:
            return opened.round, opened.stage
        peers = self._communication.gathering.peers
        peers.look()
        furthest = max((peer.round + 1 for peer in peers.playing().values()), default=0)
        return max(Moment(furthest), self._communication.moment)

    def submit_reward(self, round_num: int, stage_num: int, reward: float, peer_id: str) -> None:
        """Tell the node's reward of a round that it has played; of several in a round the last counts.

        Raises:
            ImpossibleSubmission: the round is not played yet, the reward is not a number, or the node is another.
        """
        self._require_played(round_num, peer_id)
        if stage_num < 0 or not math.isfinite(reward):
            raise ImpossibleSubmission(
                f"a reward of {reward} in stage {stage_num} of round {round_num} was submitted; stages begin at 0, and "
                "rewards are finite numbers"
            )
        self._communication.tell(reward=float(reward))

    def submit_winners(self, round_num: int, winners: Sequence[str], peer_id: str) -> None:
        """Vote for the first of the winners that is another node.

        Raises:
            ImpossibleSubmission: the round is not played yet, or the node is another.
        """
        self._require_played(round_num, peer_id)
        self._communication.tell(vote=next((winner for winner in winners if winner != peer_id), None))

    def get_bootnodes(self) -> list[str]:
        """Multiaddrs of nodes that can be reached directly; empty if none is announced."""
        return list(self._bootnodes())

    def _require_own(self, peer_id: str) -> None:
        own = self._communication.get_id()
        if peer_id != own:
            raise ImpossibleSubmission(
                f"{peer_id!r} is not this node: it is {own!r}, and speaks for itself alone"
            )

    def _require_played(self, number: int, peer_id: str) -> None:
        self._require_own(peer_id)
        now = self._communication.moment
        if not 0 <= number <= now.round:
            raise ImpossibleSubmission(
                f"round {number} was submitted, and the node is in round {now.round}, stage {now.stage}; submit what "
                "was played"
            )
