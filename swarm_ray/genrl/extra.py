"""Whether GenRL is there, in a version that its games are known to work with."""

from __future__ import annotations

import importlib.util
from importlib.metadata import PackageNotFoundError, version

from swarm_ray.errors import UserError

PACKAGE = "gensyn-genrl"
SERIES = (0, 3)
"""The releases that are supported, by their first two numbers; tested with 0.3.0 on Python 3.11 and 3.13."""


def require_genrl() -> None:
    """Make sure that what imports genrl may be imported.

    Raises:
        UserError: it is not installed, or of another series; one line that says what to install.
    """
    install = "install it with: pip install 'swarm-ray[genrl]'"
    try:
        found = version(PACKAGE)
    except PackageNotFoundError:
        found = ""
    if not found or importlib.util.find_spec("genrl") is None:
        raise UserError(f"GenRL's games need the package {PACKAGE}, which is not installed; {install}")
    if _series(found) != SERIES:
        wanted = ".".join(map(str, SERIES))
        raise UserError(
            f"GenRL's games work with {PACKAGE} {wanted}, and {found} is installed; "
            f"pip install '{PACKAGE}=={wanted}.*'"
        )


def _series(text: str) -> tuple[int, ...]:
    """The first two numbers of a version; what is no number ends them."""
    numbers: list[int] = []
    for part in text.split(".")[:2]:
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)
