"""What may import what, and what is loaded when: by the contracts, and as a process sees it."""

import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

import swarm_ray

ROOT = Path(__file__).parents[2]
LOOSE = 8
"""At most so many modules of `swarm_ray` lie outside a package."""
HEAVY = ("torch", "transformers", "ray", "reasoning_gym", "matplotlib", "fsspec")
CONTRACTS = (
    "Imports point down",
    "The store stands alone",
    "The algorithm and its policies and tasks know neither Ray nor files",
    "Ray has two doors",
    "Only the worker imports actors",
    "The store alone opens file systems",
    "What reads a folder or a configuration loads neither torch nor Ray",
    "Only a trainer loads torch",
)


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=ROOT)


def loaded(statement: str, names: tuple[str, ...]) -> str:
    """Which of `names` are modules once `statement` has run in a fresh process."""
    code = f"import sys\n{statement}\nprint(*[n for n in {names!r} if n in sys.modules])"
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_import_contracts_are_kept() -> None:
    done = run(Path(sys.executable).with_name("lint-imports"), "--no-cache")
    assert done.returncode == 0, done.stdout
    assert [name for name in CONTRACTS if f"{name} KEPT" not in done.stdout] == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = grimp.build_graph("swarm_ray", "actors", "drive_store", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_few_modules_lie_outside_a_package() -> None:
    assert len(list((ROOT / "swarm_ray").glob("*.py"))) <= LOOSE


def test_the_face_of_the_package_loads_nothing() -> None:
    light = ("pydantic", "msgspec", "rich", "swarm_ray.config.schema")
    assert loaded("import swarm_ray", (*HEAVY, *light)) == ""


@pytest.mark.parametrize("name", swarm_ray.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert callable(getattr(swarm_ray, name))
    assert name in dir(swarm_ray)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'swarms'"):
        _ = swarm_ray.swarms


@pytest.mark.parametrize("name", ["SwarmConfig", "load_config", "experiment_status", "list_experiments"])
def test_what_reads_needs_nothing_heavy(name: str) -> None:
    assert loaded(f"from swarm_ray import {name}", HEAVY) == ""


@pytest.mark.parametrize("role", ["coordinator", "discovery", "logger"])
def test_the_small_actors_stay_small(role: str) -> None:
    assert loaded(f"import actors.{role}", ("torch", "transformers", "ray", "reasoning_gym")) == ""


def test_the_algorithm_runs_without_ray_and_files() -> None:
    assert loaded("import swarm_ray.sapo.round", ("ray", "drive_store", "fsspec", "actors")) == ""
