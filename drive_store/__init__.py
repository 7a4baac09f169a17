"""A shared folder one can trust: opaque bytes in envelopes, on a mounted Google Drive or any path.

A `Store` is the folder; `ExperimentPaths` knows what lies where; an envelope says whether a file is whole
and whose it is; the state log says what counts. Nothing here knows Ray, torch, or what the payloads mean.
"""

from __future__ import annotations

from drive_store.envelope import (
    Corrupt,
    Expected,
    Header,
    NotYet,
    Reading,
    Rejected,
    Valid,
    open_envelope,
    payload_sha256,
    read_envelope,
    record_in,
    seal_json,
    seal_packed,
    why_no_record,
)
from drive_store.errors import (
    RETRYABLE,
    UNREADABLE,
    FolderMissing,
    InvalidName,
    NameTaken,
    NotAFile,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreUnavailable,
    TooLarge,
    UnsupportedStore,
)
from drive_store.experiment_store import ExperimentStore, create_experiment_folder, make_node_folders
from drive_store.liveness import Liveness, is_dead
from drive_store.names import ID_RULE, new_incarnation, require_id, valid_id
from drive_store.outbox import Spool
from drive_store.paths import DISCOVERY, EXPERIMENTS, ExperimentPaths
from drive_store.published import (
    Publication,
    PublishedFile,
    find_bucket_files,
    find_round_files,
    publish_round_file,
    publish_value,
    read_round_file,
    read_value,
)
from drive_store.registry import DiscoveryFolder, Registry
from drive_store.retention import Retention
from drive_store.segments import SegmentWriter, read_segments
from drive_store.spool_files import SpoolEntry
from drive_store.statelog.coordinator import (
    RequestReader,
    best_claim,
    highest_round_seen,
    read_coordinator_beats,
    write_coordinator_beat,
    write_request,
)
from drive_store.statelog.log import StateEntry, StateLogWriter, StateRef
from drive_store.statelog.reader import StateLogReader, StateLogTail, history, newest
from drive_store.store.backend import Capabilities, Operations
from drive_store.store.store import Store

__all__ = [
    "DISCOVERY",
    "EXPERIMENTS",
    "ID_RULE",
    "RETRYABLE",
    "UNREADABLE",
    "Capabilities",
    "Corrupt",
    "DiscoveryFolder",
    "Expected",
    "ExperimentPaths",
    "ExperimentStore",
    "FolderMissing",
    "Header",
    "InvalidName",
    "Liveness",
    "NameTaken",
    "NotAFile",
    "NotYet",
    "Operations",
    "Publication",
    "PublishedFile",
    "Reading",
    "Registry",
    "Rejected",
    "RequestReader",
    "Retention",
    "SegmentWriter",
    "Spool",
    "SpoolEntry",
    "StateEntry",
    "StateLogReader",
    "StateLogTail",
    "StateLogWriter",
    "StateRef",
    "Store",
    "StoreDenied",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "TooLarge",
    "UnsupportedStore",
    "Valid",
    "best_claim",
    "create_experiment_folder",
    "find_bucket_files",
    "find_round_files",
    "highest_round_seen",
    "history",
    "is_dead",
    "make_node_folders",
    "new_incarnation",
    "newest",
    "open_envelope",
    "payload_sha256",
    "publish_round_file",
    "publish_value",
    "read_coordinator_beats",
    "read_envelope",
    "read_round_file",
    "read_segments",
    "read_value",
    "record_in",
    "require_id",
    "seal_json",
    "seal_packed",
    "valid_id",
    "why_no_record",
    "write_coordinator_beat",
    "write_request",
]
