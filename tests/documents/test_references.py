"""Files, modules and names that documents and docstrings mention in backticks are there."""

import importlib
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("swarm_ray", "actors", "drive_store")
TEXTS = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(path for top in PRODUCT for path in (ROOT / top).rglob("*.py")),
]
OURS = "|".join(PRODUCT)


def mentioned(pattern: str) -> set[tuple[str, str]]:
    """What the pattern finds, each with the file that says it."""
    return {
        (str(path.relative_to(ROOT)), found)
        for path in TEXTS
        for found in re.findall(pattern, path.read_text())
    }


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    words = name.split(".")
    for count in range(len(words), 0, -1):
        try:
            found = importlib.import_module(".".join(words[:count]))
        except ModuleNotFoundError:
            continue
        for word in words[count:]:
            if not hasattr(found, word):
                return False
            found = getattr(found, word)
        return True
    return False


def test_files_are_there() -> None:
    found = mentioned(rf"`((?:{OURS}|tests|benchmarks|notebooks)/[\w/.-]+)`")
    assert found
    assert {(file, path) for file, path in found if not (ROOT / path).exists()} == set()


def test_names_are_there() -> None:
    found = mentioned(rf"`((?:{OURS})(?:\.\w+)+)`")
    assert found
    assert {(file, name) for file, name in found if not exists(name)} == set()


def test_a_name_that_is_not_there_is_noticed() -> None:
    assert exists("swarm_ray.tasks.task.register")
    assert not exists("swarm_ray.tasks.task.nothing")
    assert not exists("swarm_ray.tasks.protocol")
