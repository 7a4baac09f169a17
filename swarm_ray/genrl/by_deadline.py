"""Gathering a stage without a coordinator: all who live are waited for, and nobody for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

from swarm_ray.config.schema import PaceConfig
from swarm_ray.exchange.away import AWAY
from swarm_ray.exchange.backoff import Pacing
from swarm_ray.genrl.gathering import GameFiles, Gathered, Phase, untimed
from swarm_ray.genrl.peers import Peers
from swarm_ray.machine.cancellation import Pulse
from swarm_ray.records.rollouts import RoundFile
from swarm_ray.records.state import Moment


class DeadlineGathering:
    """Gathers without a coordinator: what is there when all who live are in, or when `pace.max_s` has passed.

    A peer that is in a later round has left its file behind or never will; one that is further back than the round
    before will hardly come in time. Nobody waits for either. In the first stage of a process it is waited, within the
    same time, until `pace.expect` nodes have shown themselves.

    Args:
        files: of the game's stages.
        peers: who else plays.
        pace: how long to wait for whom.
        pulse: beaten at every look; when it stops, so does the wait.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        files: GameFiles,
        peers: Peers,
        pace: PaceConfig,
        pulse: Pulse,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.peers = peers
        self._files, self._pace, self._pulse, self._clock = files, pace, pulse, clock
        self._met = False

    def exchange(self, moment: Moment, file: RoundFile, phase: Phase = untimed) -> Gathered:
        """Share our file of a stage, and get what the others shared in it.

        Raises:
            StopRequested: the worker was told to stop.
            StoreError: the folder is there, and a file of ours cannot be written or a listing read.
        """
        with phase("publish"):
            problem = self._publish(moment, file)
        return self.gather(moment, file, phase, problem)

    def gather(
        self, moment: Moment, file: RoundFile, phase: Phase = untimed, unpublished: str = ""
    ) -> Gathered:
        """Get what the others shared in a stage of which our file is written already.

        Args:
            moment: the stage.
            file: ours.
            phase: counts the time.
            unpublished: why ours is not written yet; it is tried again then.

        Raises:
            StopRequested: the worker was told to stop.
            StoreError: as for `exchange`.
        """
        gathered = Gathered({self._files.me.node: file.game})
        with phase("wait"):
            self._wait(moment, file, gathered, unpublished)
        self._met = True
        gathered.payloads = dict(sorted(gathered.payloads.items()))
        return gathered

    def _publish(self, moment: Moment, file: RoundFile) -> str:
        """Write our file; answers why it could not be, while the folder is out of reach."""
        try:
            self._files.publish(moment, file)
        except AWAY as error:
            return str(error)
        return ""

    def _wait(self, moment: Moment, file: RoundFile, gathered: Gathered, problem: str) -> None:
        """Look until nobody is waited for any more, or the time is over."""
        began, refused = self._clock(), dict[str, str]()
        pacing = Pacing(self._pace.poll_min_s, self._pace.poll_max_s, self._pulse.pause)
        while True:
            problem = problem and self._publish(moment, file)
            try:
                if self._look(moment, gathered, refused):
                    pacing.changed()
                unread = ""
            except AWAY as error:
                unread = str(error)
            waiting = self._awaited(moment, gathered.payloads.keys() | refused.keys())
            left = self._pace.max_s - (self._clock() - began)
            if left <= 0 or not (waiting or problem or unread):
                break
            pacing.pause(left)
        gathered.missing = tuple(waiting)
        gathered.problems += [f"{node}: {reason}" for node, reason in sorted(refused.items())]
        if problem or unread:
            gathered.problems.append(f"the folder is out of reach: {problem or unread}")

    def _look(self, moment: Moment, gathered: Gathered, refused: dict[str, str]) -> bool:
        """Read what is new; whether there was something."""
        self.peers.look()
        news = False
        for node in self.peers.present().keys() - gathered.payloads.keys() - refused.keys():
            for peer in self.peers.lives(node):
                if not (peer.alive or peer.round >= moment.round - 1):
                    continue  # it died before it came so far
                found = self._files.find(moment, peer)
                if found is None:
                    continue
                news = True
                if isinstance(found, RoundFile):
                    gathered.payloads[node] = found.game
                    self.peers.reached(node, moment.round - 1)
                    refused.pop(node, None)
                    break
                refused[node] = found
        return news

    def _awaited(self, moment: Moment, settled: set[str]) -> list[str]:
        """Who may still come, in words for people."""
        playing = self.peers.playing()
        # A beat may be a round old, so that a peer is waited for that seems to be two rounds back.
        named = [
            node
            for node, peer in playing.items()
            if node not in settled and moment.round - 2 <= peer.round < moment.round
        ]
        come = len(settled | playing.keys() | {self._files.me.node})
        if self._met or come >= self._pace.expect:
            return named
        return [*named, f"{self._pace.expect - come} of {self._pace.expect} nodes that were expected"]
