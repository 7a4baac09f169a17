"""An experiment as one file: a zip, or a tar that is compressed with zstandard; verified by reading it back.

Unpacked in the folder `experiments` of a root it is that experiment again. Its `experiment.json` comes last, so that
an archive that was unpacked in part is not an experiment.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import zstandard

from drive_store.errors import StoreUnavailable, errors_of
from swarm_ray.errors import UserError
from swarm_ray.experiments.manage.files import (
    FolderFile,
    asked_path,
    files_of,
    folder_of,
    folders_of,
    resolved,
    written_whole,
)
from swarm_ray.experiments.read.experiment import open_experiment

ZIP, TAR = ".zip", ".tar.zst"
_CHUNK = 1 << 20
_LEVEL = 6

Digests = dict[str, bytes]
"""Name in the archive to the sha256 of its content."""


@dataclass(frozen=True)
class Archive:
    """What was written."""

    path: Path
    files: int
    bytes_in: int
    """Of the experiment's files."""
    bytes_out: int
    """Of the archive."""


def archive_experiment(
    root: str,
    experiment: str,
    path: Path | str,
    *,
    overwrite: bool = False,
    problems: list[str] | None = None,
) -> Archive:
    """Write all files of an experiment into one, and read that again.

    One that is running is archived as it stands; files that come or go meanwhile are in it or not.

    Args:
        root: the folder that holds the experiment.
        experiment: its name.
        path: a file that ends in `.zip` or `.tar.zst`.
        overwrite: write over a file that is there.
        problems: takes a line for what was left out.

    Raises:
        ExperimentNotFoundError: the experiment does not exist.
        UserError: the path has another ending, is there already, lies in the experiment itself, or cannot be written.
        StoreUnavailable: what was read again is not what was written.
        StoreError: the folder cannot be read.
    """
    opened, target = open_experiment(root, experiment), asked_path(path)
    told: list[str] = [] if problems is None else problems
    kinds = {ZIP: (_write_zip, _read_zip), TAR: (_write_tar, _read_tar)}
    kind = next((kinds[ending] for ending in kinds if target.name.endswith(ending)), None)
    if kind is None:
        raise UserError(f"{target}: an archive ends in {ZIP} or {TAR}")
    if resolved(target).is_relative_to(folder_of(opened).resolve()):
        raise UserError(f"{target} lies in the experiment itself; write the archive elsewhere")
    write, read = kind
    with written_whole(target, overwrite=overwrite) as part:
        left_out: list[str] = []
        files = files_of(opened, left_out)
        told += [f"{line}, so it is left out" for line in left_out]
        # Coordinators and nodes count on the shared folders, empty or not.
        folders = [f"{opened.paths.experiment}/{folder}" for folder in folders_of(opened)]
        digests: Digests = {}
        write(part, folders, _sources(files, opened.paths.experiment, digests, told))
        if read(part) != digests:
            raise StoreUnavailable(f"{target} does not read back as it was written; write it elsewhere")
        size = part.stat().st_size
    return Archive(target, len(digests), sum(file.size for file in files), size)


class _Source:
    """Reads a file to just the size that its entry says: one that is rewritten meanwhile may have more, or fewer bytes.

    What is missing is read as zeros; envelopes tell such a file from a whole one.
    """

    def __init__(self, name: str, file: FolderFile, data: IO[bytes]) -> None:
        self.name, self.file, self.data = name, file, data
        self.digest, self._left = hashlib.sha256(), file.size

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; empty at the end."""
        wanted = self._left if size < 0 else min(size, self._left)
        with errors_of("read", str(self.file.path)):
            chunk = self.data.read(wanted)
        chunk += bytes(wanted - len(chunk))
        self._left -= wanted
        self.digest.update(chunk)
        return chunk


def _sources(
    files: Iterable[FolderFile], experiment: str, digests: Digests, problems: list[str]
) -> Iterator[_Source]:
    """Files that can be opened; each is to be read before the next one, when its digest is noted."""
    for file in files:
        with errors_of("read", str(file.path)):
            try:
                data = file.path.open("rb")
            except FileNotFoundError:
                problems.append(f"{file.path} is left out: it has gone meanwhile")
                continue
        with data:
            source = _Source(f"{experiment}/{file.within}", file, data)
            yield source
            digests[source.name] = source.digest.digest()


def _write_zip(path: Path, folders: Iterable[str], sources: Iterable[_Source]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder in folders:
            archive.mkdir(folder, 0o755)
        for source in sources:
            entry = zipfile.ZipInfo.from_file(source.file.path, source.name, strict_timestamps=False)
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as out:
                shutil.copyfileobj(source, out, _CHUNK)


def _read_zip(path: Path) -> Digests:
    with zipfile.ZipFile(path) as archive:
        return {e.filename: _digest(archive.open(e)) for e in archive.infolist() if not e.is_dir()}


def _write_tar(path: Path, folders: Iterable[str], sources: Iterable[_Source]) -> None:
    packer = zstandard.ZstdCompressor(_LEVEL, write_checksum=True)
    with (
        path.open("wb") as raw,
        packer.stream_writer(raw, closefd=False) as packed,
        # Of two names of one file the second would else be a link entry without content.
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT, dereference=True) as archive,
    ):
        for folder in folders:
            made = tarfile.TarInfo(folder)
            made.type, made.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(made)
        for source in sources:
            entry = archive.gettarinfo(arcname=source.name, fileobj=source.data)
            entry.size, entry.uname, entry.gname = source.file.size, "", ""
            archive.addfile(entry, source)


def _read_tar(path: Path) -> Digests:
    with (
        path.open("rb") as raw,
        zstandard.ZstdDecompressor().stream_reader(raw) as unpacked,
        tarfile.open(fileobj=unpacked, mode="r|") as archive,
    ):
        return {e.name: _digest(content) for e in archive if (content := archive.extractfile(e)) is not None}


def _digest(data: IO[bytes]) -> bytes:
    with data:
        return hashlib.file_digest(data, "sha256").digest()  # type: ignore[arg-type]  # both have readinto
