"""Modules with tasks of one's own that somebody names for an experiment that was perhaps made by a stranger."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from swarm_ray.config.schema import TasksConfig
from swarm_ray.errors import UserError


def require_modules(config: TasksConfig, trusted: Sequence[str]) -> None:
    """Make sure that each module that somebody trusts is one of the experiment's, and can be imported.

    Raises:
        UserError: one is not, or cannot; a misspelt name would else be passed over.
    """
    for name in trusted:
        if name not in config.modules:
            known = f"it has {', '.join(map(repr, config.modules))}" if config.modules else "it has none"
            raise UserError(
                f"--module {name}: the experiment has no such module of its own (tasks.modules); {known}"
            )
    for name in trusted:
        try:
            importlib.import_module(name)
        except (ImportError, SyntaxError) as error:
            raise UserError(
                f"--module {name}: it cannot be imported ({error}); give the command in its folder, or install it"
            ) from error
