"""Every path of an experiment's folder; no other module puts a path together.

Keys are relative to the store's root. Names are lower case, since Drive's search is blind to case, and
numbered things lie in buckets of 500, so that no folder grows past 1,000 entries.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from drive_store.names import (
    ROUND_FILE_SUFFIX,
    VALUE_FILE_SUFFIX,
    require_claimant,
    require_hash,
    require_id,
    require_incarnation,
    require_number,
    require_segment_kind,
)

EXPERIMENTS = "experiments"
DISCOVERY = "discovery"
BUCKET = 500
"""How many numbers share a folder."""
_BUCKET_NAME = re.compile(r"[0-9]{6}")


def bucket(number: int) -> str:
    """Name the folder that holds the entry of a number: those of 0 to 499 lie in ``000000``."""
    return f"{require_number(number, 'number') // BUCKET:06d}"


def bucket_start(name: str) -> int | None:
    """The first number whose entry lies in the folder of this name; None for a name that no such folder has."""
    return int(name) * BUCKET if _BUCKET_NAME.fullmatch(name) else None


def discovery_record(node: str, incarnation: str) -> str:
    """By what one incarnation of a node is found by others, whatever their experiment.

    Raises:
        InvalidName: an argument is not a valid id or incarnation.
    """
    return f"{DISCOVERY}/{_peer(node, incarnation)}.json"


@dataclass(frozen=True)
class ExperimentPaths:
    """The keys of one experiment.

    Raises:
        InvalidName: from any of them, when an argument is not a valid id, incarnation or number.
    """

    experiment: str

    def __post_init__(self) -> None:
        require_id(self.experiment, "experiment")

    @property
    def folder(self) -> str:
        """The experiment's own folder."""
        return f"{EXPERIMENTS}/{self.experiment}"

    @property
    def shared_folders(self) -> tuple[str, ...]:
        """The experiment's own folder, and the parents that its nodes share."""
        parents = ("state", "peers", "requests", "rewards", "winners", "rollouts", "checkpoints", "logs")
        return self.folder, *(f"{self.folder}/{name}" for name in parents)

    @property
    def experiment_json(self) -> str:
        """Identity, versions and who may coordinate; the sentinel."""
        return f"{self.folder}/experiment.json"

    def config(self, config_hash: str) -> str:
        """The configuration, under its hash."""
        return f"{self.folder}/config-{require_id(config_hash, 'configuration hash')}.yaml"

    @property
    def state_folder(self) -> str:
        """Holds the buckets of the state log."""
        return f"{self.folder}/state"

    @property
    def current_state(self) -> str:
        """A copy of the newest state record, for people."""
        return f"{self.state_folder}/current_state.json"

    def state_bucket(self, sequence: int) -> str:
        """The folder of one state record."""
        return f"{self.state_folder}/{bucket(sequence)}"

    def state_record(self, epoch: int, sequence: int, claimant: str) -> str:
        """One state record."""
        name = f"e{require_number(epoch, 'epoch'):06d}-s{require_number(sequence, 'sequence'):08d}"
        return f"{self.state_bucket(sequence)}/{name}.{require_claimant(claimant)}.json"

    def coordinator_beat(self, claimant: str) -> str:
        """The heartbeat of one claimant of the state log."""
        return f"{self.state_folder}/{require_claimant(claimant)}.beat"

    @property
    def requests_folder(self) -> str:
        """Holds what people ask of the coordinator."""
        return f"{self.folder}/requests"

    def request(self, request: str) -> str:
        """One request, by its id."""
        return f"{self.requests_folder}/{require_incarnation(request)}.json"

    @property
    def peers_folder(self) -> str:
        """Holds registrations and beats."""
        return f"{self.folder}/peers"

    def registration(self, node: str, incarnation: str) -> str:
        """What announces one incarnation of a node."""
        return f"{self.peers_folder}/{_peer(node, incarnation)}.json"

    def beat(self, node: str, incarnation: str) -> str:
        """The heartbeat of one incarnation."""
        return f"{self.peers_folder}/{_peer(node, incarnation)}.beat"

    @property
    def rollouts_parent(self) -> str:
        """Holds the rollouts of all nodes."""
        return f"{self.folder}/rollouts"

    def rollouts_folder(self, node: str, incarnation: str) -> str:
        """Holds the buckets of one incarnation's round files."""
        return f"{self.rollouts_parent}/{_peer(node, incarnation)}"

    def rollouts_bucket(self, node: str, incarnation: str, round: int) -> str:  # noqa: A002
        """The folder of one round's files."""
        return f"{self.rollouts_folder(node, incarnation)}/{bucket(round)}"

    def round_file(
        self,
        node: str,
        incarnation: str,
        round: int,  # noqa: A002
        stage: int,
        attempt: int,
        payload_hash: str,
    ) -> str:
        """One published file; the name keeps 12 digits of `payload_hash`, the payload's sha256 in hex."""
        turn = f"r{round:06d}-s{require_number(stage, 'stage')}.{require_number(attempt, 'attempt')}"
        folder = self.rollouts_bucket(node, incarnation, round)
        return f"{folder}/{turn}.{require_hash(payload_hash)}{ROUND_FILE_SUFFIX}"

    def value_file(
        self,
        node: str,
        incarnation: str,
        round: int,  # noqa: A002
        stage: int,
        value_hash: str,
    ) -> str:
        """What a round file stands for, put beside it; the name keeps 12 digits of the value's sha256 in hex."""
        turn = f"r{round:06d}-s{require_number(stage, 'stage')}"
        return f"{self.rollouts_bucket(node, incarnation, round)}/{turn}.{require_hash(value_hash)}{VALUE_FILE_SUFFIX}"

    def named_values_folder(self, node: str, incarnation: str) -> str:
        """Holds what one incarnation shows to the others under names, apart from its round files."""
        return f"{self.rollouts_folder(node, incarnation)}/values"

    def named_value(self, node: str, incarnation: str, name_hash: str, number: int, value_hash: str) -> str:
        """One value under a name; of both the name and the value 12 digits of the sha256 in hex are kept."""
        turn = f"k{require_hash(name_hash)}-n{require_number(number, 'number'):06d}"
        folder = self.named_values_folder(node, incarnation)
        return f"{folder}/{turn}.{require_hash(value_hash)}{VALUE_FILE_SUFFIX}"

    def rewards(self, round: int) -> str:  # noqa: A002
        """A copy of one round's rewards, for people."""
        return f"{self.folder}/rewards/{bucket(round)}/r{round:06d}.json"

    def winners(self, round: int) -> str:  # noqa: A002
        """A copy of one round's winners, for people."""
        return f"{self.folder}/winners/{bucket(round)}/r{round:06d}.json"

    def logs_folder(self, node: str, incarnation: str) -> str:
        """Holds what one incarnation logged."""
        return f"{self.folder}/logs/{_peer(node, incarnation)}"

    def segment(self, node: str, incarnation: str, kind: str, n: int) -> str:
        """One closed segment of a kind, which is "metrics" or "events"."""
        name = f"{require_segment_kind(kind)}-{require_number(n, 'segment'):06d}.jsonl"
        return f"{self.logs_folder(node, incarnation)}/{name}"

    def system_info(self, node: str, incarnation: str) -> str:
        """The machine that an incarnation ran on."""
        return f"{self.logs_folder(node, incarnation)}/system_info.json"

    @property
    def checkpoints_parent(self) -> str:
        """Holds the checkpoints of all nodes."""
        return f"{self.folder}/checkpoints"

    def checkpoints_folder(self, node: str, incarnation: str) -> str:
        """Holds one incarnation's checkpoints."""
        return f"{self.checkpoints_parent}/{_peer(node, incarnation)}"

    def checkpoint(self, node: str, incarnation: str, step: int) -> str:
        """The folder of one checkpoint."""
        return f"{self.checkpoints_folder(node, incarnation)}/step_{require_number(step, 'step'):06d}"


def _peer(node: str, incarnation: str) -> str:
    return f"{require_id(node, 'node')}.{require_incarnation(incarnation)}"
