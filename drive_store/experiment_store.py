"""One experiment's view of a store, and the folders that it consists of.

Each folder has one creator, since Drive lets two machines make one name twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drive_store.envelope import Expected, Header, Reading, read_envelope
from drive_store.errors import FolderMissing
from drive_store.paths import ExperimentPaths
from drive_store.store.store import Store


@dataclass(frozen=True)
class ExperimentStore:
    """A store together with the keys of one experiment in it."""

    store: Store
    paths: ExperimentPaths

    @property
    def name(self) -> str:
        """The experiment's id."""
        return self.paths.experiment

    def header(self, kind: str, node: str, incarnation: str = "", **place: Any) -> Header:
        """The header of a file of this experiment; `place` holds its other fields, the round say."""
        return Header(kind=kind, experiment=self.name, node=node, incarnation=incarnation, **place)

    def read(
        self,
        key: str,
        kind: str,
        node: str,
        incarnation: str | None = None,
        *,
        max_payload: int,
        twin_too: bool = False,
    ) -> Reading:
        """Read a file that must say of itself that it is of this experiment, kind and origin; see `read_envelope`.

        Raises:
            StoreError: the store itself cannot be read.
        """
        expected = Expected(
            kind=kind, experiment=self.name, node=node, incarnation=incarnation, max_payload=max_payload
        )
        return read_envelope(self.store, key, expected, twin_too=twin_too)


def create_experiment_folder(experiment: ExperimentStore) -> None:
    """Make the experiment's folder and the parents that nodes share; for the coordinator.

    Folders that exist stay as they are. Whether an experiment of this name exists is decided by creating its
    ``experiment.json``, not here.

    Raises:
        StoreError: a folder cannot be made.
    """
    for folder in experiment.paths.shared_folders:
        experiment.store.make_folder(folder)


def make_node_folders(experiment: ExperimentStore, node: str, incarnation: str) -> None:
    """Make the folders that one incarnation of a node writes into; for the node itself.

    Raises:
        StoreError: a folder cannot be made.
    """
    for folder in (
        experiment.paths.rollouts_folder(node, incarnation),
        experiment.paths.logs_folder(node, incarnation),
        experiment.paths.checkpoints_folder(node, incarnation),
    ):
        experiment.store.make_folder(folder)


def write_in_folder(store: Store, folder: str, write: Callable[[], None]) -> None:
    """Write a file into a folder that is made when its first file is.

    Raises:
        StoreError: the folder cannot be made, or whatever `write` raises.
    """
    try:
        write()
    except FolderMissing:
        store.make_folder(folder)
        write()
