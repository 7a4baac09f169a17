"""Rollouts through the shared folder: one file per node and round, read by the names in the state log."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from drive_store import ExperimentPaths, NotYet, Store, Valid, publish_round_file, read_round_file
from swarm_ray.config import PaceConfig
from swarm_ray.errors import MalformedFile
from swarm_ray.exchange.round_files import MAX_ROUND_FILE, decode_round_file
from swarm_ray.exchange.swarm_state import SwarmState
from swarm_ray.records import FileRef, RoundFile, StageClosed
from swarm_ray.sapo.node import Node
from swarm_ray.sapo.pool import PeerFile


class FolderExchange:
    """Publishes and gathers round files through a `Store`.

    Args:
        store: the shared folder, attached to the experiment.
        paths: the experiment's paths.
        state: follows the state log.
        pace: how long a stage may last.
    """

    def __init__(self, store: Store, paths: ExperimentPaths, state: SwarmState, pace: PaceConfig) -> None:
        self._store, self._paths, self._state, self._pace = store, paths, state, pace
        self._checked = -1

    def publish(self, node: Node, number: int, file: RoundFile) -> None:
        """Write the node's file of round `number`, once; the state log will say what became of it.

        Raises:
            StoreError: the folder is not what it was, is full, or cannot be written.
        """
        if number != self._checked:
            self._store.check()
            self._checked = number
        publish_round_file(
            self._store,
            self._paths,
            node=node.id,
            incarnation=node.incarnation,
            round=number,
            stage=0,
            payload=msgspec.msgpack.encode(file),
            epoch=self._state.epoch,
            sequence=node.step,
        )

    def wait_closed(self, number: int) -> StageClosed:
        """Wait for the record that closes round `number`.

        The stage may take its maximum and the record its time to become visible, hence twice that and a minute.
        """
        return self._state.wait_closed(number, within_s=2 * self._pace.max_s + 60)

    def gather(self, closed: StageClosed, without: Sequence[str]) -> list[PeerFile]:
        """Read what the record names, each file once, and name what it refused.

        A file that is not to be seen here yet is looked for until `pace.settle_s` has passed.
        """
        refs = [ref for ref in closed.accepted if ref.node not in without]
        found: dict[str, PeerFile] = {}
        began = time.monotonic()
        while True:
            last = time.monotonic() - began >= self._pace.settle_s
            for ref in refs:
                if ref.key not in found and (file := self._read(ref, last_look=last)) is not None:
                    found[ref.key] = file
            if len(found) == len(refs):
                break
            self._state.pause()
        refused = [PeerFile(r.node, refused=r.reason) for r in closed.rejected if r.node not in without]
        return list(found.values()) + refused

    def _read(self, ref: FileRef, *, last_look: bool) -> PeerFile | None:
        """The file, or why it is refused; None for one that may still become visible."""
        reading = read_round_file(
            self._store,
            ref.key,
            experiment=self._paths.experiment,
            node=ref.node,
            incarnation=ref.incarnation,
            sha256=ref.sha256,
            max_payload=MAX_ROUND_FILE,
        )
        if isinstance(reading, NotYet) and not last_look:
            return None
        if not isinstance(reading, Valid):
            return PeerFile(ref.node, refused=f"{type(reading).__name__}: {reading.reason}")
        try:
            return PeerFile(ref.node, decode_round_file(reading.payload).rollouts)
        except MalformedFile as error:
            return PeerFile(ref.node, refused=str(error))
