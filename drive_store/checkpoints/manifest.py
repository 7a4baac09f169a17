"""A checkpoint's manifest: which files it has and what they hold; it is written last, when the checkpoint is whole.

The manifest is a sealed envelope, so that a torn one is seen, and one of another node or experiment is refused. Only
the file names that are listed here are ever accepted, so no path comes out of a manifest's text.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Hashable, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from drive_store.envelope import Header, Reading, Valid, seal_json
from drive_store.errors import UNREADABLE, errors_of

KIND = "checkpoint"
MANIFEST = "manifest.json"
MAX_MANIFEST = 1 << 16
"""The most bytes a manifest's payload may have."""
LIMITS = {
    "weights.safetensors": 1 << 38,
    "optimizer.safetensors": 1 << 39,
    "state.json": 1 << 26,
}
"""The files that a checkpoint may have, each with the most bytes it may take."""
REQUIRED = frozenset({"weights.safetensors", "state.json"})

FileName = Literal["weights.safetensors", "optimizer.safetensors", "state.json"]
_Ranked = TypeVar("_Ranked", bound=Hashable)


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a checkpoint."""

    name: FileName
    bytes: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a whole checkpoint consists of."""

    node: str
    incarnation: str
    step: int
    files: tuple[FileEntry, ...]
    score: float | None = None
    """What the best checkpoints are told by, the higher the better; None has no claim to be one of them."""
    format: Literal[1] = 1

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(file.bytes for file in self.files)

    def entry(self, name: str) -> FileEntry | None:
        """The entry of a file; None where the checkpoint goes without it."""
        return next((file for file in self.files if file.name == name), None)

    def only(self, names: Collection[str]) -> Manifest:
        """The same checkpoint with no other files than these."""
        return msgspec.structs.replace(self, files=tuple(f for f in self.files if f.name in names))


def seal_manifest(manifest: Manifest, experiment: str) -> bytes:
    """The content of a checkpoint's `manifest.json`."""
    header = Header(
        kind=KIND,
        experiment=experiment,
        node=manifest.node,
        incarnation=manifest.incarnation,
        sequence=manifest.step,
    )
    return seal_json(header, msgspec.json.encode(manifest))


def manifest_of(reading: Reading, node: str, step: int) -> Manifest | str:
    """The manifest in an envelope that was read, or why it cannot be used.

    Args:
        reading: what opening the file answered.
        node: whose checkpoint it must be.
        step: the step that the folder's name says.
    """
    if not isinstance(reading, Valid):
        return f"its manifest is not whole: {reading.reason}"
    try:
        manifest = msgspec.json.decode(reading.payload, type=Manifest)
    except UNREADABLE as error:
        return f"its manifest is not one that this version reads: {error}"
    header = reading.header
    found = (manifest.node, manifest.incarnation, manifest.step)
    if found != (header.node, header.incarnation, header.sequence) or found[::2] != (node, step):
        return f"its manifest is of {manifest.node}.{manifest.incarnation}, step {manifest.step}"
    names = [file.name for file in manifest.files]
    if len(set(names)) != len(names) or not REQUIRED.issubset(names):
        return f"its manifest lists {', '.join(names) or 'no files'}"
    too_large = [file.name for file in manifest.files if file.bytes > LIMITS[file.name]]
    return f"its {too_large[0]} is too large" if too_large else manifest


def describe_file(path: Path, name: FileName, *, durable: bool = False) -> FileEntry:
    """Size and hash of a file on the machine's own disk; `durable` also makes sure that the disk has it.

    Raises:
        StoreError: the file cannot be read.
    """
    with errors_of("read", str(path)), path.open("rb", buffering=0) as file:
        digest, size = hashlib.file_digest(file, "sha256"), file.tell()
        if durable:
            os.fsync(file.fileno())
    return FileEntry(name, size, digest.hexdigest())


def mismatch(path: Path, entry: FileEntry, *, durable: bool = False) -> str:
    """Why a file on the machine's own disk is not what its manifest says; "" where it is. See `describe_file`."""
    if not path.is_file():
        return f"its {entry.name} is not there"
    if path.stat().st_size != entry.bytes or describe_file(path, entry.name, durable=durable) != entry:
        return f"its {entry.name} is not what the manifest says"
    return ""


def choose_kept(
    found: Sequence[tuple[_Ranked, int, float | None]], keep: int, keep_best: int
) -> set[_Ranked]:
    """Which checkpoints stay: the newest, and those with the best scores of all.

    Args:
        found: checkpoints with step and score, the newest first; of several of one step only the first can stay.
        keep: how many of the newest steps.
        keep_best: how many of the best; one that is among the newest counts here too.
    """
    steps: dict[int, tuple[_Ranked, float | None]] = {}
    for name, step, score in found:
        steps.setdefault(step, (name, score))
    newest = [name for name, _ in list(steps.values())[:keep]]
    scored = [(score, name) for name, score in steps.values() if score is not None]
    best = sorted(scored, key=lambda pair: -pair[0])[:keep_best]
    return {*newest, *(name for _, name in best)}
