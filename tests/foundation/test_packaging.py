"""The package says what it needs and holds what it has; a notebook's own packages may stay."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from setuptools import find_packages

ROOT = Path(__file__).parents[2]
PACKAGES = ("swarm_ray", "actors", "drive_store")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
REQUIRED = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
EXTRAS: dict[str, list[Requirement]] = {
    extra: [Requirement(text) for text in texts]
    for extra, texts in PROJECT["project"]["optional-dependencies"].items()
}
INSTALLED = ("dashboard", "dev", "docs", "genrl", "hivemind", "tensorboard", "wandb")
"""Extras that `make install` takes."""
COLAB = {"torch": "2.11.0", "transformers": "5.15.0", "fsspec": "2025.3.0", "safetensors": "0.8.0"}
COLAB["zstandard"] = "0.25.0"
"""What Colab's runtime had in August 2026, as it tells in its backend-info."""


def imported() -> Iterator[tuple[str, Path]]:
    """Top-level names of other people's modules, wherever in a file they are imported."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if path.is_relative_to(ROOT / "drive_store" / "testing"):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                for name in {name.partition(".")[0] for name in names}:
                    if name not in sys.stdlib_module_names and name not in PACKAGES:
                        yield name, path


def pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line[:1] != "#"]
    parts = [re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][A-Za-z0-9.]*)", line) for line in lines]
    assert [line for line, part in zip(lines, parts, strict=True) if part is None] == []
    return {canonicalize_name(part[1]): part[2] for part in parts if part}


def test_all_that_is_imported_is_required() -> None:
    # pydantic-core is a part of pydantic; ipython is there where a notebook is
    of_extras = [r for extra in ("genrl", "hivemind", "tensorboard", "wandb") for r in EXTRAS[extra]]
    known = [*REQUIRED, *of_extras]
    required = {canonicalize_name(name) for name in (*(r.name for r in known), "pydantic-core", "ipython")}
    owners = packages_distributions()
    missing = {
        f"{name} in {path.relative_to(ROOT)}"
        for name, path in imported()
        if not {canonicalize_name(owner) for owner in owners.get(name, [])} & required
    }
    assert missing == set()


def test_all_that_is_required_is_used() -> None:
    owners = packages_distributions()
    used = {canonicalize_name(owner) for name, _ in imported() for owner in owners[name]}
    assert {r.name for r in REQUIRED if canonicalize_name(r.name) not in used} == set()


def test_requirements_have_lower_bounds_only() -> None:
    operators = {r.name: {s.operator for s in r.specifier} for r in REQUIRED}
    assert {name: found for name, found in operators.items() if found != {">="}} == {}


def test_colabs_own_packages_may_stay() -> None:
    wanted = {canonicalize_name(r.name): r.specifier for r in REQUIRED}
    assert [name for name, version in COLAB.items() if version not in wanted[canonicalize_name(name)]] == []


def test_constraints_are_exact_and_fit_the_requirements() -> None:
    found = pins()
    wanted = [*REQUIRED, *(one for extra in INSTALLED for one in EXTRAS[extra] if one.name != "swarm-ray")]
    for requirement in wanted:
        assert found[canonicalize_name(requirement.name)] in requirement.specifier, requirement
    assert found["torch"] == "2.13.0"


def test_every_package_is_in_the_distribution() -> None:
    wanted = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    listed = set(find_packages(str(ROOT), include=wanted))
    packages = [path.parent for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")]
    there = {".".join(path.relative_to(ROOT).parts) for path in packages}
    assert listed == there
    assert all((ROOT / package / "py.typed").is_file() for package in PACKAGES)


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"(?m)^## (\S+)", (ROOT / "CHANGELOG.md").read_text())
    assert versions[0] == PROJECT["project"]["version"]
