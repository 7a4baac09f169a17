"""What a coordinator's succession asks of the folder: who beats, who claims, and how far the swarm has come."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from drive_store.envelope import Expected, Header, Valid, read_envelope, seal_json
from drive_store.experiment_store import ExperimentStore
from drive_store.names import (
    PeerName,
    parse_coordinator_beat_name,
    parse_peer_folder,
    parse_round_file_name,
    twin_name,
)
from drive_store.paths import BUCKET, bucket_start
from drive_store.statelog.log import list_bucket, preference
from drive_store.statelog.reader import bucket_folders

COORDINATOR = "coordinator"
MAX_COORDINATOR_BEAT = 1 << 16
"""The most bytes a coordinator's beat may have as payload."""
EPOCH_LEAP = 1000
"""Terms follow each other; a name whose epoch is further above the others is nobody's."""


def write_coordinator_beat(experiment: ExperimentStore, claimant: str, count: int, payload: bytes) -> None:
    """Write a coordinator's heartbeat, over the one before.

    Args:
        experiment: where to.
        claimant: the writer of the state log.
        count: grows with each beat.
        payload: one JSON value, without white space around it.

    Raises:
        InvalidName: the claimant is not valid.
        StoreError: the beat could not be written.
    """
    header = Header(kind=COORDINATOR, experiment=experiment.name, node=claimant, sequence=count)
    experiment.store.replace_copy(experiment.paths.coordinator_beat(claimant), seal_json(header, payload))


def read_coordinator_beats(experiment: ExperimentStore) -> dict[str, Valid]:
    """Read the beats of all claimants there ever were, in one listing and a read for each.

    Returns:
        Claimant to its last beat. One that is not whole just now is left out: ask again.

    Raises:
        StoreError: the store itself cannot be read.
    """
    found: dict[str, Valid] = {}
    for text in experiment.store.names(experiment.paths.state_folder):
        name = parse_coordinator_beat_name(text)
        if name is None:
            continue
        claimant, twin = name
        beat = _read_beat(experiment, claimant, twin)
        known = found.get(claimant)
        if beat is not None and (known is None or known.header.sequence < beat.header.sequence):
            found[claimant] = beat
    return found


def best_claim(experiment: ExperimentStore) -> tuple[int, str] | None:
    """Find the claim that is to be obeyed by the names alone, in at most three listings.

    A record that is not readable yet counts too, since whoever wrote it holds the claim. Only the newest two buckets
    of the log are looked at. A name whose epoch is more than `EPOCH_LEAP` above all the others is nobody's: terms
    follow each other, and a number that large would leave no room for successors.

    Returns:
        Epoch and claimant: the highest epoch, and in it the claimant of smallest rank. None for an empty log.

    Raises:
        StoreError: the store itself cannot be read.
    """
    names = [
        name for folder in bucket_folders(experiment)[-2:] for name in list_bucket(experiment.store, folder)
    ]
    highest = _highest_epoch(sorted({name.epoch for name in names}))
    best = min((name for name in names if name.epoch <= highest), key=preference, default=None)
    return None if best is None else (best.epoch, best.claimant)


def _highest_epoch(epochs: Sequence[int]) -> int:
    """The last of ascending epochs before a leap; 0 for none."""
    highest = epochs[0] if epochs else 0
    for epoch in epochs:
        if epoch - highest > EPOCH_LEAP:
            break
        highest = epoch
    return highest


def highest_round_seen(
    experiment: ExperimentStore, admitted: Collection[tuple[str, str]] | None = None
) -> int:
    """Find the highest round in the names of round files.

    Costs a listing and two for each incarnation, hence for a successor only. A bucket that its owner has emptied
    counts with its first round: it was made for a file.

    Args:
        experiment: where they are.
        admitted: node and incarnation of those whose files count; None takes all.

    Returns:
        The round; -1 where nothing was ever published.

    Raises:
        StoreError: the store itself cannot be read.
    """
    texts = experiment.store.names(experiment.paths.rollouts_parent)
    peers = [peer for text in texts if (peer := parse_peer_folder(text)) is not None]
    if admitted is not None:
        peers = [peer for peer in peers if (peer.node, peer.incarnation) in admitted]
    return max((_highest_of(experiment, peer) for peer in peers), default=-1)


def _highest_of(experiment: ExperimentStore, peer: PeerName) -> int:
    texts = experiment.store.names(experiment.paths.rollouts_folder(peer.node, peer.incarnation))
    first = max((start for text in texts if (start := bucket_start(text)) is not None), default=-1)
    if first < 0:
        return -1
    files = experiment.store.names(experiment.paths.rollouts_bucket(peer.node, peer.incarnation, first))
    rounds = [name.round for text in files if (name := parse_round_file_name(text)) is not None]
    return max([first, *(number for number in rounds if first <= number < first + BUCKET)])


def _read_beat(experiment: ExperimentStore, claimant: str, twin: int) -> Valid | None:
    reading = read_envelope(
        experiment.store,
        twin_name(experiment.paths.coordinator_beat(claimant), twin),
        Expected(
            kind=COORDINATOR, experiment=experiment.name, node=claimant, max_payload=MAX_COORDINATOR_BEAT
        ),
    )
    return reading if isinstance(reading, Valid) else None
