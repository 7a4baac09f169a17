"""A node's model from an experiment's folder to a folder that transformers loads."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from drive_store.checkpoints.local import LocalCheckpoint
from swarm_ray.errors import CheckpointMismatch, UserError
from swarm_ray.experiments.folder import read_config
from swarm_ray.experiments.manage.write import asked_path
from swarm_ray.experiments.read.experiment import OpenExperiment, open_experiment
from swarm_ray.machine.cache import cache_folder
from swarm_ray.models.placing import replace_folder, require_place
from swarm_ray.models.stored import NodeCheckpoints, Which
from swarm_ray.tasks.trusted_modules import require_modules

__all__ = ["Exported", "Which", "export", "export_model"]


@dataclass(frozen=True)
class Exported:
    """A model that was exported."""

    path: Path
    node: str
    step: int
    round: int
    reward: float | None
    """Mean own reward since the checkpoint before; None where none was measured."""


def export_model(
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
        UserError: there is no such experiment, node or checkpoint, a module is not one of the experiment's or cannot be
            imported, the model cannot be built here, or `path` cannot be written.
        StoreError: the shared folder cannot be read.
    """
    return export(
        root,
        experiment,
        node,
        path,
        step,
        overwrite=overwrite,
        modules=modules,
        problems=[] if problems is None else problems,
    ).path


def export(
    root: str,
    experiment: str,
    node: str,
    path: Path | str,
    step: Which | None,
    *,
    overwrite: bool,
    modules: Sequence[str],
    problems: list[str],
) -> Exported:
    """The same, with what was exported; see `export_model`."""
    folder = asked_path(path)
    require_place(folder, overwrite=overwrite)
    opened = open_experiment(root, experiment)
    if modules:
        require_modules(opened.config_in_force().tasks, modules)
    checkpoints = NodeCheckpoints(opened, node, problems)
    which = "last" if step is None else step
    checkpoints.candidates(which)
    with tempfile.TemporaryDirectory(prefix="swarm-ray-export-") as here:
        return _write(opened, node, checkpoints.fetch(which, Path(here)), folder, modules)


def _write(
    opened: OpenExperiment, node: str, found: LocalCheckpoint, folder: Path, modules: Sequence[str]
) -> Exported:
    """Torch is imported here, since a mistake in the command is told without."""
    from swarm_ray.checkpointing.node_state import decode_state
    from swarm_ray.models.card import model_card
    from swarm_ray.models.folder import fill_folder
    from swarm_ray.models.rebuild import build_parts
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
    card = model_card(opened.identity.experiment, state, config, chat=parts.has_chat)
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
