"""One experiment's view of a store."""

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
