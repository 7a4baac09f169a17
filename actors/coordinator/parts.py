"""What a coordinator is made of, whatever its term."""

from __future__ import annotations

from dataclasses import dataclass

from actors.coordinator.control import Control
from actors.coordinator.failover import Inheritance, known_nodes
from actors.coordinator.roster import Roster
from actors.coordinator.round_history import RoundHistory
from actors.coordinator.submissions import Intake
from actors.coordinator.tallies import Tallies
from drive_store import ExperimentStore
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.records.state import ExperimentState


@dataclass(frozen=True)
class Parts:
    """What a coordinator is made of, beside its term."""

    config: SwarmConfig
    changed_hash: str
    """Of the configuration in force, where it is not the one that `experiment.json` names; else empty."""
    experiment: ExperimentStore
    roster: Roster
    intake: Intake
    control: Control
    tallies: Tallies
    history: RoundHistory

    def inherit(self, found: Inheritance) -> None:
        """Take over what the log says."""
        self.roster.restore(*known_nodes(found.records))
        self.roster.config_hashes |= {record.config_hash for record in found.records if record.config_hash}
        self.intake.restore(found.records, found.floor)
        self.history.restore(found.records, found.upcoming)
        answered = {request for record in found.records for request in record.replies}
        if found.last is not None:
            self.tallies.restore(found.last.tallies, found.last.barren)
            self.control.restore(answered, paused=found.last.state == ExperimentState.PAUSED)
