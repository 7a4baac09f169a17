"""The folders of an experiment; each has one creator, since Drive lets two machines make one name twice."""

from __future__ import annotations

from drive_store.paths import ExperimentPaths
from drive_store.store.store import Store


def create_experiment_folder(store: Store, paths: ExperimentPaths) -> None:
    """Make the experiment's folder and the parents that nodes share; the coordinator's part.

    Folders that exist stay as they are. Whether an experiment of this name exists is decided by creating its
    ``experiment.json``, not here.

    Raises:
        StoreError: a folder cannot be made.
    """
    for folder in (
        paths.folder,
        paths.state_folder,
        paths.peers_folder,
        paths.requests_folder,
        paths.rewards_folder,
        paths.winners_folder,
        paths.rollouts_parent,
        paths.checkpoints_parent,
        paths.logs_parent,
    ):
        store.make_folder(folder)


def make_node_folders(store: Store, paths: ExperimentPaths, node: str, incarnation: str) -> None:
    """Make the folders that one incarnation of a node writes into; the node's own part.

    Raises:
        StoreError: a folder cannot be made.
    """
    for folder in (
        paths.rollouts_folder(node, incarnation),
        paths.logs_folder(node, incarnation),
        paths.checkpoints_folder(node, incarnation),
    ):
        store.make_folder(folder)
