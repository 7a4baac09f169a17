"""The house has storeys: imports point down, and no module imports itself by way of others."""

from __future__ import annotations

import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
LOOSE = 8
"""At most so many modules of `swarm_ray` lie outside a package."""


def test_the_contracts_hold() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    assert found.returncode == 0, found.stdout


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = grimp.build_graph("swarm_ray", "actors", "drive_store", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_few_modules_lie_outside_a_package() -> None:
    assert len(list((ROOT / "swarm_ray").glob("*.py"))) <= LOOSE
