"""Where a model is written: to a place of its own, as a whole or not at all. Torch is not imported."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from swarm_ray.errors import UserError
from swarm_ray.experiments.manage.write import resolved, writing_errors

_OF_A_MODEL = re.compile(
    r"(model.*\.safetensors|model\.safetensors\.index\.json|(generation_)?config\.json|tokenizer(_config)?\.json|"
    r"(special_tokens_map|added_tokens|vocab)\.json|merges\.txt|chat_template\.jinja|README\.md|\.gitattributes)"
)
"""Names of the files that a model's folder holds; where there is anything else, nothing is removed."""


def require_place(folder: Path, *, overwrite: bool) -> None:
    """Make sure that a model may be written to a folder.

    Raises:
        UserError: something is there that is not to be lost, or the folder cannot be looked at.
    """
    with writing_errors(folder):
        _require_place(folder, overwrite=overwrite)


def _require_place(folder: Path, *, overwrite: bool) -> None:
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder for the model")
    if not any(folder.iterdir()):
        return
    if not overwrite:
        raise UserError(
            f"{folder} is not empty: name another folder, or give --overwrite to replace a model in it"
        )
    others = [path for path in folder.iterdir() if path.is_dir() or not _OF_A_MODEL.fullmatch(path.name)]
    if others or not (folder / "config.json").is_file():
        what = f" ({min(others).name})" if others else ""
        raise UserError(
            f"{folder} holds other things than a model{what}, so it is not overwritten; name another folder"
        )


def replace_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Put a new folder in the place of one that is empty, a model, or not there.

    Raises:
        UserError: the disk does not take it. Then, and whatever else ends it, what was there is as before.
    """
    target = resolved(folder)
    made, old = (target.with_name(f".{target.name}.{os.getpid()}.{what}") for what in ("made", "old"))
    with writing_errors(folder):
        try:
            made.mkdir(parents=True)
            fill(made)
            if target.exists():
                target.rename(old)
            made.rename(target)
        finally:
            if old.exists() and not target.exists():
                old.rename(target)
            shutil.rmtree(made, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
