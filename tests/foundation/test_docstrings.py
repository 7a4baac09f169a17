"""Docstrings render: what continues an item of a section stands deeper than the item."""

import ast
import inspect
import re
from pathlib import Path

import actors
import drive_store
import swarm_ray

SECTION = re.compile(r"(Args|Raises):")
ITEM = re.compile(r"( {4})?(\*{0,2}[A-Za-z_][\w.]*)( \([^)]+\))?: ")
NODES = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def test_every_item_of_a_docstring_is_one_item() -> None:
    found = [problem for path in _sources() for problem in _problems(path)]
    assert found == []


def test_a_continuation_at_an_items_depth_is_found() -> None:
    text = "Read.\n\nArgs:\n    key: where, however\n    far that\n        is.\n"
    assert _misplaced(text) == ["    far that", "        is."]
    assert _misplaced("Read.\n\nArgs:\n    key: where, however\n        far that is.\n    more: all.\n") == []
    assert _misplaced("Read.\n\nArgs:\n    key: a term. other: another\n", ["key", "other"]) == ["other"]


def _sources() -> list[Path]:
    roots = [Path(package.__path__[0]) for package in (actors, drive_store, swarm_ray)]
    return [path for root in roots for path in root.rglob("*.py")]


def _problems(path: Path) -> list[str]:
    problems = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        text = ast.get_docstring(node) if isinstance(node, NODES) else None
        problems += [f"{path}: {line.strip()}" for line in _misplaced(text or "", _parameters(node))]
    return problems


def _parameters(node: ast.AST) -> list[str]:
    parts = node.body if isinstance(node, ast.ClassDef) else []
    of = next((part for part in parts if getattr(part, "name", "") == "__init__"), node)
    if not isinstance(of, ast.FunctionDef | ast.AsyncFunctionDef):
        return []
    return [argument.arg for argument in (*of.args.args, *of.args.kwonlyargs)]


def _misplaced(text: str, parameters: list[str] | None = None) -> list[str]:
    """Lines of a section that render as an item of their own although they continue one, and the reverse."""
    misplaced, section, depth = [], "", 0
    for line in inspect.cleandoc(text).split("\n"):
        if not line.startswith(" "):
            heading = SECTION.fullmatch(line)
            section, depth = heading[1] if heading else "", 4
        elif section:
            indent = len(line) - len(line.lstrip())
            if indent == 4:
                depth = 4 if ITEM.match(line) else 0
            if depth == 0 or indent % 4:
                misplaced.append(line)
            swallowed = re.findall(r"(?<=[.;] )(\w+)(?=: [a-z])", line) if section == "Args" else []
            misplaced += [name for name in swallowed if name in (parameters or [])]
    return misplaced
