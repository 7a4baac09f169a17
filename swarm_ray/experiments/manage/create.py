"""Makes an experiment without running it: the folder with its identity and its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from swarm_ray.config.load import load_config
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.experiments.folder import ExperimentAddress, require_free
from swarm_ray.experiments.open import open_or_create


def init_experiment(
    root: str,
    name: str,
    preset: str | None = None,
    overrides: Sequence[str] = (),
    *,
    file: Path | str | None = None,
    overwrite: bool = False,
) -> SwarmConfig:
    """Make an experiment that `coordinate` or `simulate` of the same name goes on with.

    Args:
        root: the folder that holds experiments; it is made where it is not there.
        name: the experiment's.
        preset: what the configuration begins with; None takes the one that the file or an override names, else `tiny`.
        overrides: `key=value`, the last word.
        file: a YAML file that is laid over the preset.
        overwrite: delete an experiment of that name first, unless somebody is at work on it.

    Returns:
        Its configuration.

    Raises:
        ExperimentExistsError: there is one of that name, and `overwrite` is not set.
        ConfigError: a key or a value is impossible.
        UserError: the name cannot be one, or the one to be overwritten is in use or no experiment.
        StoreError: the folder cannot be written.
    """
    config = load_config(preset, file, overrides)
    address = ExperimentAddress(root, name)
    require_free(address, overwrite=overwrite)
    return open_or_create(address, config, overwrite=overwrite).config
