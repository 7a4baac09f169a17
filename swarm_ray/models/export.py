"""Exports a node's model from an experiment's folder to a folder that transformers loads; whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from drive_store.checkpoints.local import LocalCheckpoint
from swarm_ray.errors import CheckpointMismatch, UserError
from swarm_ray.experiments.folder import read_config
from swarm_ray.experiments.manage.files import asked_path, resolved, writing_errors
from swarm_ray.experiments.read.experiment import OpenExperiment, open_experiment
from swarm_ray.machine.local_disk import cache_folder
from swarm_ray.models.checkpoints import NodeCheckpoints, Which
from swarm_ray.tasks.questions import require_modules

_OF_A_MODEL = re.compile(
    r"(model.*\.safetensors|model\.safetensors\.index\.json|(generation_)?config\.json|tokenizer(_config)?\.json|"
    r"(special_tokens_map|added_tokens|vocab)\.json|merges\.txt|chat_template\.jinja|README\.md|\.gitattributes)"
)
"""Names of the files that a model's folder holds; where there is anything else, nothing is removed."""


@dataclass(frozen=True)
class ModelSource:
    """Which model is exported."""

    root: str
    """The folder that holds experiments."""
    experiment: str
    node: str
    step: Which = "last"


@dataclass(frozen=True)
class Exported:
    """A model that was exported."""

    path: Path
    node: str
    step: int
    round: int
    reward: float | None
    """Mean own reward since the checkpoint before; None where none was measured."""


def export_model(  # noqa: PLR0913  (public signature)
    root: str,
    experiment: str,
    node: str,
    path: Path | str,
    step: Which | None = None,
    *,
    overwrite: bool = False,
    modules: Sequence[str] = (),
    problems: list[str] | None = None,
) -> Path:
    """Write a node's model as `save_pretrained` does, from its checkpoint in the shared folder.

    `AutoModelForCausalLM.from_pretrained(path)` and `AutoTokenizer.from_pretrained(path)` load it without a network,
    and `policy.model=path` starts another experiment from it.

    Args:
        root: the folder that holds experiments.
        experiment: its name.
        node: whose model.
        path: the folder to write.
        step: a step of which the folder has a checkpoint, "last" (the default), or "best": the one with the highest
            mean own reward since the checkpoint before it.
        overwrite: replace a model that is at `path` already.
        modules: Python modules with tasks that may be imported, if the experiment has its own.
        problems: takes a line for each checkpoint that was passed over.

    Returns:
        `path`.

    Raises:
        UserError: the experiment, node or checkpoint does not exist, a module is not one of the experiment's or cannot
            be imported, the model cannot be built here, or `path` cannot be written.
        StoreError: the shared folder cannot be read.
    """
    return export(
        ModelSource(root, experiment, node, "last" if step is None else step),
        path,
        overwrite=overwrite,
        modules=modules,
        problems=[] if problems is None else problems,
    ).path


def export(
    source: ModelSource,
    path: Path | str,
    *,
    overwrite: bool,
    modules: Sequence[str],
    problems: list[str],
) -> Exported:
    """Export, and say what was exported; see `export_model`."""
    folder = asked_path(path)
    require_model_folder(folder, overwrite=overwrite)
    opened = open_experiment(source.root, source.experiment)
    if modules:
        require_modules(opened.config_in_force().tasks, modules)
    checkpoints = NodeCheckpoints(opened, source.node, problems)
    checkpoints.candidates(source.step)
    with tempfile.TemporaryDirectory(prefix="swarm-ray-export-") as here:
        return _write(opened, source.node, checkpoints.fetch(source.step, Path(here)), folder, modules)


def _write(
    opened: OpenExperiment, node: str, found: LocalCheckpoint, folder: Path, modules: Sequence[str]
) -> Exported:
    """Torch is imported here, so that a mistake in the command is reported without it."""
    from swarm_ray.checkpointing.node_state import decode_state
    from swarm_ray.models.folder import build_parts, fill_folder, model_card
    from swarm_ray.policies.state import load_tensors

    newest = opened.newest()
    config = read_config(opened.store, opened.address, newest[1].config_hash if newest else "")
    file = found.file("state.json")
    state = decode_state(file.read_bytes(), str(file))
    if (state.node, state.step) != (node, found.step):
        raise UserError(
            f"the checkpoint of {node} at step {found.step} holds another's state; name another --step"
        )
    parts = build_parts(config, opened.identity.versions, cache_folder(), modules)
    card = model_card(opened.identity.experiment, state, config, chat=bool(parts.tokenizer.chat_template))
    fill = partial(
        fill_folder, parts=parts, weights=load_tensors(found.file("weights.safetensors")), card=card
    )
    try:
        replace_folder(folder, fill)
    except CheckpointMismatch as error:
        raise CheckpointMismatch(
            f"{state.node}, step {state.step}: its weights are not those of policy.model={config.policy.model!r} as it "
            f"is here ({error})"
        ) from error
    return Exported(folder, state.node, state.step, state.round, state.reward)


def require_model_folder(folder: Path, *, overwrite: bool) -> None:
    """Make sure that a model may be written to a folder.

    Raises:
        UserError: something is there that must not be lost, or the folder cannot be read.
    """
    with writing_errors(folder):
        if not folder.exists() and not folder.is_symlink():
            return
        if not folder.is_dir():
            raise UserError(f"{folder} is a file; name a folder for the model")
        inside = sorted(folder.iterdir())
        if inside and not overwrite:
            raise UserError(
                f"{folder} is not empty: name another folder, or give --overwrite to replace a model in it"
            )
        others = [path.name for path in inside if path.is_dir() or not _OF_A_MODEL.fullmatch(path.name)]
        if others or (inside and not (folder / "config.json").is_file()):
            what = f" ({others[0]})" if others else ""
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
