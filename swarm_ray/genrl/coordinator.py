"""GenRL's coordinator without a blockchain: rounds are read from the folder, rewards and winners travel with files.

It has the methods of `genrl.blockchain.SwarmCoordinator` that games call, and answers for one node. What it is told
goes with the node's next file, where everybody can read it; the coordinator of the experiment, if there is one, counts
it into its state log.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from swarm_ray.errors import SwarmError
from swarm_ray.genrl.communication import GameCommunication
from swarm_ray.records.state import Moment


class ImpossibleSubmission(SwarmError):
    """Something was submitted for a round that is not played, by another node, or is not a number."""


class GameCoordinator:
    """What a game asks a coordinator, answered from the folder.

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
