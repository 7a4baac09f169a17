"""Coordinators beside the state log: their heartbeats, requests to them, and what a succession asks of the folder."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from itertools import pairwise

from drive_store.envelope import NotYet, Reading, Valid, seal_json
from drive_store.experiment_store import ExperimentStore, write_in_folder
from drive_store.names import (
    PeerName,
    new_incarnation,
    parse_coordinator_beat_name,
    parse_peer_folder,
    parse_request_name,
    parse_round_file_name,
    twin_name,
)
from drive_store.paths import BUCKET, bucket_start
from drive_store.statelog.log import list_bucket, preference
from drive_store.statelog.reader import bucket_folders

COORDINATOR, REQUEST = "coordinator", "request"
_MAX_PAYLOAD = 1 << 16  # bytes, of a beat or a request
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
    experiment.store.replace_copy(
        experiment.paths.coordinator_beat(claimant),
        seal_json(experiment.header(COORDINATOR, claimant, sequence=count), payload),
    )


def read_coordinator_beats(experiment: ExperimentStore) -> dict[str, Valid]:
    """Read the beats of all claimants there ever were, in one listing and a read for each.

    Returns:
        Claimant to its last beat. One that is not whole just now is left out: ask again.

    Raises:
        StoreError: the store itself cannot be read.
    """
    found: dict[str, Valid] = {}
    for name in map(parse_coordinator_beat_name, experiment.store.names(experiment.paths.state_folder)):
        if name is None:
            continue
        claimant, twin = name
        key = twin_name(experiment.paths.coordinator_beat(claimant), twin)
        beat = experiment.read(key, COORDINATOR, claimant, max_payload=_MAX_PAYLOAD)
        if isinstance(beat, Valid):
            found[claimant] = max(found.get(claimant, beat), beat, key=lambda valid: valid.header.sequence)
    return found


def write_request(experiment: ExperimentStore, payload: bytes) -> str:
    """Leave a request; the coordinator finds it at its next look.

    Args:
        experiment: where to.
        payload: one JSON value, without white space around it.

    Returns:
        The request's id, 8 hex digits, under which it will be answered.

    Raises:
        StoreError: it could not be written; a second call makes another request.
    """
    request = new_incarnation()
    write = partial(
        experiment.store.create,
        experiment.paths.request(request),
        seal_json(experiment.header(REQUEST, request), payload),
    )
    # An experiment from before there were requests has no folder for them.
    write_in_folder(experiment.store, experiment.paths.requests_folder, write)
    return request


class RequestReader:
    """Reads the requests of an experiment, each once."""

    def __init__(self, experiment: ExperimentStore) -> None:
        self._experiment = experiment
        self._done: set[str] = set()

    def poll(self) -> dict[str, Reading]:
        """Answer the requests that are new since the last call: id to reading.

        Costs one listing, and a read for each new file. A file that is not whole yet is left for a later call; one
        that is damaged or no request is answered as such, once.

        Raises:
            StoreError: the store itself cannot be read; what was not answered comes at the next call.
        """
        found: dict[str, Reading] = {}
        for name in map(
            parse_request_name, self._experiment.store.names(self._experiment.paths.requests_folder)
        ):
            if name is None or name[0] in self._done or name[0] in found:
                continue
            request, twin = name
            key = twin_name(self._experiment.paths.request(request), twin)
            reading = self._experiment.read(key, REQUEST, request, max_payload=_MAX_PAYLOAD)
            if not isinstance(reading, NotYet):
                found[request] = reading
        self._done.update(found)
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
    epochs = sorted({name.epoch for name in names})
    leaps = (low for low, high in pairwise(epochs) if high - low > EPOCH_LEAP)
    highest = next(leaps, max(epochs, default=0))
    best = min((name for name in names if name.epoch <= highest), key=preference, default=None)
    return None if best is None else (best.epoch, best.claimant)


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
