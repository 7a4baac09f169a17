"""Own values that travelled directly, kept for as long as somebody who could not fetch them may ask for them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from drive_store import ExperimentPaths, Store, StoreError, payload_sha256, publish_value
from swarm_ray.moments import Moment


@dataclass(frozen=True)
class OwnValue:
    """One value."""

    moment: Moment
    value: bytes
    lives: tuple[str, ...]
    """Incarnations of its node under which the receipt was published."""


class OwnValues:
    """Values of a trainer's nodes, by node and hash.

    Args:
        store: the shared folder.
        paths: the experiment's paths.
        rounds: a value is of use to others for so many rounds after its own; with 0 none is kept.
    """

    def __init__(self, store: Store, paths: ExperimentPaths, rounds: int) -> None:
        self._store, self._paths, self._rounds = store, paths, rounds
        self._kept: dict[tuple[str, str], OwnValue] = {}

    def keep(self, node: str, own: OwnValue) -> None:
        """Have a value ready."""
        if self._rounds:
            self._kept[node, payload_sha256(own.value)] = own

    def expire(self, number: int) -> None:
        """Let go of what nobody asks for in round `number` any more; a request takes a round to come."""
        self._kept = {
            key: own for key, own in self._kept.items() if own.moment.round + self._rounds + 1 >= number
        }

    def share(self, asked: Collection[tuple[str, str]], number: int) -> str:
        """Put values into the folder that were asked for in round `number`, each beside its receipt.

        Those of this round go, too: they were receipts, and would be asked for next. What is there already stays as it
        is.

        Returns:
            Why one could not be put there, in words; empty when nothing was in the way.
        """
        for key, own in list(self._kept.items()):
            if key not in asked and own.moment.round < number:
                continue
            try:
                self._share(key[0], own)
            except StoreError as error:
                return f"a value that was asked for could not be put into the folder: {error}"
            del self._kept[key]
        return ""

    def _share(self, node: str, own: OwnValue) -> None:
        for incarnation in own.lives:
            publish_value(
                self._store,
                self._paths,
                node=node,
                incarnation=incarnation,
                round=own.moment.round,
                stage=own.moment.stage,
                value=own.value,
            )
