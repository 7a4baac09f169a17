"""How a stage of a game travels: every node publishes one file, and reads those of the others.

Which files count is said by the state log where a coordinator writes one, else by a deadline (`gathering`). What is
gathered is bytes; `swarm_ray.genrl.wire` knows what they mean.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from drive_store import (
    RETRYABLE,
    ExperimentStore,
    Publication,
    find_round_files,
    publish_round_file,
)
from swarm_ray.exchange.validation import read_peer_file
from swarm_ray.genrl.peers import Peer, Peers
from swarm_ray.records.rollouts import RoundFile
from swarm_ray.records.state import FileRef, Member, Moment

Phase = Callable[[str], AbstractContextManager[None]]
"""Counts the time of a block as a phase, as `swarm_ray.sapo.phases` names them."""


def untimed(_name: str) -> AbstractContextManager[None]:
    """A phase without a clock."""
    return nullcontext()


@dataclass
class Gathered:
    """What the nodes shared in one stage."""

    payloads: dict[str, bytes] = field(default_factory=dict)
    """Node to the bytes it shared, our own among them; by node id, not by arrival."""
    missing: tuple[str, ...] = ()
    """Nodes that were waited for, and whose files did not come."""
    problems: list[str] = field(default_factory=list)
    """Files that were dropped, and why; and why our own did not get through."""

    def add(self, node: str, file: RoundFile | str) -> None:
        """Take a peer's file, or the reason why it is missing."""
        if isinstance(file, RoundFile) and file.game:
            self.payloads[node] = file.game
        elif isinstance(file, RoundFile):
            self.problems.append(f"{node}: what it shared is not a game's payload")
        else:
            self.problems.append(f"{node}: {file}")


class Gathering(Protocol):
    """Publishes a stage's file and gathers the others'."""

    @property
    def peers(self) -> Peers:
        """Who else plays."""
        ...

    def exchange(self, moment: Moment, file: RoundFile, phase: Phase) -> Gathered:
        """Share our file of a stage, and get what the others shared in it; `phase` counts the time."""
        ...


class StageFiles:
    """The files of a game's stages in the folder.

    Args:
        experiment: the experiment in the shared folder, attached to the experiment.
        me: our node and its incarnation.
    """

    def __init__(self, experiment: ExperimentStore, me: Member) -> None:
        self.experiment, self.me = experiment, me

    def check(self) -> None:
        """Make sure that the folder is the one that was attached: an unmounted Drive is an empty local folder.

        Raises:
            StoreError: it is not, or cannot be read.
        """
        self.experiment.store.check()

    def publish(self, moment: Moment, file: RoundFile) -> None:
        """Write our own.

        Raises:
            StoreError: it could not be written; a second call with the same arguments is harmless.
        """
        self.check()
        publish_round_file(
            self.experiment,
            Publication(
                node=self.me.node,
                incarnation=self.me.incarnation,
                round=moment.round,
                stage=moment.stage,
                payload=msgspec.msgpack.encode(file),
                sequence=file.step,
            ),
        )

    def any_of(self, number: int, incarnation: str) -> bool:
        """Whether an incarnation of our node published anything for a round; False while the folder is out of reach."""
        try:
            found = find_round_files(self.experiment, self.me.node, incarnation, number)
        except RETRYABLE:
            return False
        return bool(found)

    def find(self, moment: Moment, peer: Peer) -> RoundFile | str | None:
        """A peer's whole file of a stage, or why it is refused; None if it has not come yet.

        Raises:
            StoreError: the folder cannot be read.
        """
        listed = find_round_files(self.experiment, peer.node, peer.incarnation, moment.round)
        reason: str | None = None
        for key, name in listed:
            if name.stage != moment.stage:
                continue
            found = read_peer_file(self.experiment, FileRef(peer.node, peer.incarnation, key, "", 0))
            if isinstance(found, RoundFile):
                if found.game:
                    return found
                reason = "its payload went directly" if found.receipt else "the file shares nothing of a game"
            elif isinstance(found, str):
                reason = found
        return reason
