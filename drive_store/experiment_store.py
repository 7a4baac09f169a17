"""One experiment's view of a store, and the folders that it consists of.

Each folder has one creator, since Drive lets two machines make one name twice.
"""

from __future__ import annotations

from dataclasses import dataclass

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


def create_experiment_folder(experiment: ExperimentStore) -> None:
    """Make the experiment's folder and the parents that nodes share; for the coordinator.

    Folders that exist stay as they are. Whether an experiment of this name exists is decided by creating its
    ``experiment.json``, not here.

    Raises:
        StoreError: a folder cannot be made.
    """
    for folder in (
        experiment.paths.folder,
        experiment.paths.state_folder,
        experiment.paths.peers_folder,
        experiment.paths.requests_folder,
        experiment.paths.rewards_folder,
        experiment.paths.winners_folder,
        experiment.paths.rollouts_parent,
        experiment.paths.checkpoints_parent,
        experiment.paths.logs_parent,
    ):
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
