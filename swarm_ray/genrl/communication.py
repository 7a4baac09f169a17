"""GenRL's `Communication` over a shared folder: a stage's payloads are gathered, and values shown under names.

`GameCommunication` is given its parts by the process that runs a node of a game (Swarm Ray's trainer actor);
`FolderCommunication` makes them itself, for GenRL's launchers and your own scripts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from genrl.communication import Communication

from drive_store import ExperimentStore, Valid
from drive_store.published import NamedValues, read_newest_value
from swarm_ray.genrl.membership import Membership
from swarm_ray.genrl.stage_files import Gathered, Gathering, untimed
from swarm_ray.genrl.wire import MAX_BYTES, WireError, decode, encode
from swarm_ray.records.rollouts import RoundFile, StepCounters
from swarm_ray.records.state import Moment
from swarm_ray.sapo.phases import PhaseClock


@dataclass
class PreviousRound:
    """What a node tells of its round before in the first file of the next."""

    reward: float | None = None
    informative: int = 0
    generated_tokens: int = 0
    vote: str | None = None
    counters: StepCounters | None = None


@dataclass(frozen=True)
class GameTransport:
    """What carries the payloads of one node."""

    experiment: ExperimentStore
    gathering: Gathering
    values: NamedValues


class GameCommunication(Communication):  # type: ignore[misc, unused-ignore]
    """Payloads of one node of a game, and those of the others.

    `step_` is the round; a game manager sets it. `stage_` counts the gathers since `step_` changed; it may be set, too.
    If `step_` is never set, every gather is a round of its own, as in GenRL's own back ends.

    Args:
        node: our id.
    """

    def __init__(self, node: str) -> None:
        self._node = node
        self._parts: GameTransport | None = None
        self._step, self._is_told = 0, False
        self.stage_ = 0
        self.problems: list[str] = []
        """What went wrong and was tolerated, in words; the reader clears it."""
        self.missing: tuple[str, ...] = ()
        """Nodes whose files did not come to the last gather."""
        self.phases: PhaseClock | None = None
        """Counts the seconds of publishing, waiting and reading, where a game manager gives one."""
        self.telling = PreviousRound()
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
    def parts(self) -> GameTransport:
        """What carries the payloads.

        Raises:
            RuntimeError: nothing is attached yet.
        """
        if self._parts is None:
            raise RuntimeError(
                f"nothing carries the payloads of {self._node} yet: a game is played in run_game"
            )
        return self._parts

    def attach(self, parts: GameTransport) -> None:
        """From here on payloads travel."""
        self._parts = parts

    def get_id(self) -> str:
        """Our node's id."""
        return self._node

    def all_gather_object(self, obj: Any, *_args: Any, **_options: Any) -> dict[str, Any]:
        """Share our payload of this stage; answers node to payload, our own as it travels among them.

        Raises:
            WireError: our payload cannot travel; the message names the place.
            StopRequested: the experiment ended, or the worker was told to stop.
        """
        file = self._file(encode(obj))
        phase = self.phases.phase if self.phases is not None else untimed
        gathered = self.parts.gathering.exchange(self.moment, file, phase)
        if self._is_told:
            self.stage_ += 1
        else:
            self._step += 1
        return self._opened(gathered)

    def put(self, obj: Any, sub_key: bytes = b"") -> None:
        """Show an object to the others under a key, in the place of the one before.

        Raises:
            WireError: it cannot travel.
            StoreError: it cannot be written.
        """
        self.parts.values.put(sub_key, encode(obj))

    def get(self, sub_key: bytes = b"") -> dict[str, Any]:
        """What each node shows under a key now, the newest of each, without waiting.

        Raises:
            StoreError: the folder cannot be read.
        """
        peers = self.parts.gathering.peers
        peers.look(now=True)
        lives = {node: [peer.incarnation for peer in peers.lives(node)] for node in peers.present()}
        own = self.parts.values.incarnation
        found = {}
        for node, incarnations in sorted({**lives, self._node: [own]}.items()):
            for incarnation in incarnations:
                data = self._shown(node, incarnation, sub_key)
                if data is not None:
                    found[node] = data
                    break
        return self._decoded(found)

    @property
    def moment(self) -> Moment:
        """The round and stage that the next gather is of."""
        return Moment(self._step, self.stage_)

    def _file(self, game: bytes) -> RoundFile:
        """Our file of this stage; the first of a round tells of the round before."""
        step = self._step if self.counted is None else self.counted
        if self.stage_ > 0:
            return RoundFile(step, (), None, 0, 0, game=game)
        told, self.telling = self.telling, PreviousRound()
        return RoundFile(
            step,
            (),
            told.reward,
            told.informative,
            told.generated_tokens,
            vote=told.vote,
            previous=told.counters,
            game=game,
        )

    def _opened(self, gathered: Gathered) -> dict[str, Any]:
        self.missing = gathered.missing
        self.problems += gathered.problems
        if gathered.missing:
            self.problems.append(f"without {', '.join(gathered.missing)}: nothing came in time")
        return self._decoded(gathered.payloads)

    def _decoded(self, found: dict[str, bytes]) -> dict[str, Any]:
        """What the bytes mean; one node's that mean nothing are dropped, with the reason."""
        payloads = {}
        for node, data in found.items():
            try:
                payloads[node] = decode(data)
            except WireError as error:
                self.problems.append(f"{node}: {error}")
        return payloads

    def _shown(self, node: str, incarnation: str, sub_key: bytes) -> bytes | None:
        reading = read_newest_value(
            self.parts.experiment,
            node=node,
            incarnation=incarnation,
            name=sub_key,
            max_payload=MAX_BYTES,
        )
        return reading.payload if isinstance(reading, Valid) else None


class FolderCommunication(GameCommunication):
    """GenRL's back end over a shared folder, without Ray and without a coordinator.

    The experiment is made if it is not there. The node registers, writes heartbeats from a thread of its own, and says
    goodbye at `close`. A stage is over when all live nodes have shared, or after `deadline_s`. A node that has played
    here before resumes after the last round that it finished: `step_` begins there.

    Args:
        root: the shared folder, a path or any fsspec URL.
        experiment: its name.
        node: our id, unique in the experiment.
        nodes: so many are waited for at the beginning, as long as for a stage.
        deadline_s: longest stage, in seconds; None takes the experiment's.

    Raises:
        UserError: an id is impossible, the node's id is taken on this machine, or the experiment does not play a game.
        StoreError: the folder cannot be used.
    """

    def __init__(
        self, root: str, experiment: str, node: str, nodes: int = 1, deadline_s: float | None = None
    ) -> None:
        super().__init__(node)
        self._membership = Membership(root, experiment, node, nodes, deadline_s)
        parts = self._membership
        self._step = parts.played + 1
        self.attach(GameTransport(parts.experiment, parts.gathering, parts.values))

    def all_gather_object(self, obj: Any, *_args: Any, **_options: Any) -> dict[str, Any]:
        """See `GameCommunication.all_gather_object`; a heartbeat goes with the first stage of a round.

        Raises:
            UserError: an earlier life of the node has played the round.
        """
        if self.stage_ == 0:
            self._membership.enters(self.step_)
        return super().all_gather_object(obj)

    @property
    def played(self) -> int:
        """The last round that an earlier process of the node finished; -1 where there was none."""
        return self._membership.played

    def close(self) -> None:
        """Leave; harmless when repeated. The last round counts as played only where a `with` block ends."""
        self._membership.close()

    def __enter__(self) -> Self:
        """It is open already."""
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Close; without an error the last round was played to its end."""
        if error is None:
            self._membership.leaves()
        self.close()
