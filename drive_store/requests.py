"""Requests: what people ask of a coordinator, each a file that is written once and read once."""

from __future__ import annotations

from drive_store.envelope import Header, seal_json
from drive_store.envelope_reading import NotYet, Reading, read_envelope
from drive_store.errors import FolderMissing
from drive_store.experiment_store import ExperimentStore
from drive_store.names import new_incarnation, parse_request_name, twin_name

KIND = "request"
MAX_REQUEST = 1 << 16
"""The most bytes a request's payload may have."""


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
    header = Header(kind=KIND, experiment=experiment.name, node=request)
    data = seal_json(header, payload)
    try:
        experiment.store.create(experiment.paths.request(request), data)
    except FolderMissing:
        # An experiment from before there were requests has no folder for them.
        experiment.store.make_folder(experiment.paths.requests_folder)
        experiment.store.create(experiment.paths.request(request), data)
    return request


class RequestReader:
    """Reads the requests of an experiment, each once."""

    def __init__(self, experiment: ExperimentStore) -> None:
        self._store = experiment.store
        self._paths = experiment.paths
        self._done: set[str] = set()

    def poll(self) -> dict[str, Reading]:
        """Answer the requests that are new since the last call: id to reading.

        Costs one listing, and a read for each new file. A file that is not whole yet is left for a later call; one
        that is damaged or no request is answered as such, once.

        Raises:
            StoreError: the store itself cannot be read; what was not answered comes at the next call.
        """
        found: dict[str, Reading] = {}
        for text in self._store.names(self._paths.requests_folder):
            name = parse_request_name(text)
            if name is None or name[0] in self._done or name[0] in found:
                continue
            reading = self._read(*name)
            if not isinstance(reading, NotYet):
                found[name[0]] = reading
        self._done.update(found)
        return found

    def _read(self, request: str, twin: int) -> Reading:
        return read_envelope(
            self._store,
            twin_name(self._paths.request(request), twin),
            kind=KIND,
            experiment=self._paths.experiment,
            node=request,
            max_payload=MAX_REQUEST,
        )
