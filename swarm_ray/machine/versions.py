"""Versions of what a run depends on, without importing any of it."""

from __future__ import annotations

import platform
import re
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("swarm-ray", "torch", "transformers", "ray", "reasoning-gym", "fsspec", "numpy")


def installed_versions() -> dict[str, str]:
    """Package to version, with `python`; a package that is not installed is left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def version_numbers(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: (1, 1, 10) of `1.1.10.post2`; none of what does not begin with one."""
    leading = re.match(r"\d+(?:\.\d+)*(?=\.|$)", text)
    return tuple(map(int, leading[0].split("."))) if leading else ()
