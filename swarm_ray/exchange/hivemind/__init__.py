"""Direct links between nodes through hivemind: starting and joining its DHT, storing and fetching values."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from swarm_ray.errors import UserError
from swarm_ray.machine.versions import version_numbers

OLDEST, TOO_NEW = (1, 1, 12), (1, 2)
"""The link uses hivemind's DHT node below its public face, as 1.1.12 has it."""
TESTED = "hivemind 1.1.12 and gensyn-genrl 0.3.0 are tested together, on Python 3.11 and 3.13"
INSTALL = "pip install 'swarm-ray[hivemind]'"


def require_hivemind() -> None:
    """Return where direct links can be made.

    Raises:
        UserError: hivemind is missing, or of a version that is not supported.
    """
    try:
        found = version("hivemind")
    except PackageNotFoundError:
        raise UserError(
            f"exchange=hivemind needs the package hivemind: {INSTALL} ({TESTED}; this is Python "
            f"{platform.python_version()}), or choose exchange=folder"
        ) from None
    if not OLDEST <= version_numbers(found) < TOO_NEW:
        raise UserError(
            f"hivemind {found} is here, and direct links need 1.1.12 or a later 1.1: {INSTALL} ({TESTED}), or choose "
            "exchange=folder"
        )
