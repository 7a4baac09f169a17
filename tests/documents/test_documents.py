"""What the documents say is so: commands are commands, links lead somewhere, tables are those of the code."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from swarm_ray.cli.arguments import overrides_of, parse
from swarm_ray.cli.main import COMMANDS
from swarm_ray.cli.output import MISTAKE
from swarm_ray.config.load import join_config, load_config
from swarm_ray.genrl.recipe import read_recipe
from swarm_ray.policies.tiny.starts import STARTS
from swarm_ray.runtime.handle import DONE, FAILED, INTERRUPTED, LEARNED_NOTHING

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", text)


def commands() -> list[str]:
    """Every command line in a block, and every one in backticks that has more than the command's name."""
    found: list[str] = []
    for path in DOCUMENTS:
        text = path.read_text()
        found += [line for block in blocks(text, "sh") for line in block.splitlines() if line]
        found += re.findall(r"`((?:swarm-ray|make) [^`]+)`", text)
    return found


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("swarm-ray")])
def test_a_command_is_one(line: str) -> None:
    words = shlex.split(line)[1:]
    if len(words) == 1:  # it is only named
        assert words[0] in {command.name for command in COMMANDS}
        return
    arguments = parse(COMMANDS, words)
    if not hasattr(arguments, "overrides"):
        return
    if arguments.command == "work":
        join_config(load_config("colab"), {**overrides_of(arguments), "nodes": 1})
    elif arguments.command == "genrl":
        read_recipe(arguments.recipe).config(overrides_of(arguments))
    else:
        load_config(arguments.preset, arguments.config, overrides_of(arguments))


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("make")])
def test_a_make_command_has_its_target(line: str) -> None:
    target = shlex.split(line)[1]
    assert re.search(rf"(?m)^{target}:", (ROOT / "Makefile").read_text())


def test_every_command_is_one_of_these() -> None:
    assert {shlex.split(line)[0] for line in commands()} == {"make", "pip", "swarm-ray"}


def test_the_readme_names_every_subcommand() -> None:
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"(?m)(?:^|`)swarm-ray ([a-z-]+)", text))
    assert named == {command.name for command in COMMANDS}
    assert all(f"`{preset}`" in text for preset in ("tiny", "paper", "colab"))


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    path = ROOT / name
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_python_in_documents_is_python(name: str) -> None:
    for block in blocks((ROOT / name).read_text(), "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] == "swarm_ray"
                home = importlib.import_module(node.module or "")
                assert {alias.name for alias in node.names} <= {*dir(home), *getattr(home, "__all__", ())}


def test_the_exit_statuses_are_those_of_the_command() -> None:
    listed = re.findall(r"(?m)^\| (\d+) \|", (ROOT / "README.md").read_text())
    assert [int(n) for n in listed] == [DONE, FAILED, MISTAKE, LEARNED_NOTHING, INTERRUPTED]


def test_the_starts_are_those_of_the_code() -> None:
    rows = re.findall(r"(?m)^\| ([A-Z]\d) \| (.*) \|$", (ROOT / "docs" / "tiny.md").read_text())
    assert dict(rows) == {
        name: " | ".join(
            [
                start.habit,
                *(str(value) for value in (start.home, start.elsewhere, start.steps, start.batch)),
                str(start.learning_rate),
                "yes" if start.shared else "no",
            ]
        )
        for name, start in STARTS.items()
    }


def test_the_map_leads_to_every_package() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    packages = {
        str(path.parent.relative_to(ROOT))
        for top in ("swarm_ray", "actors", "drive_store")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert {p for p in packages if p != "swarm_ray" and f"{p}/`" not in text} == set()
    patterns = [p.replace("*", ".*") for p in re.findall(r"[a-z_*]+\.py", text)]
    modules = {path.name for path in (ROOT / "swarm_ray").glob("*.py")} - {"__init__.py"}
    assert {name for name in modules if not any(re.fullmatch(p, name) for p in patterns)} == set()


def test_the_table_of_tests_has_every_folder() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    assert {folder for folder in folders if f"`tests/{folder}/" not in text} == set()
    named = re.findall(r"`(tests/[^`*]+)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []
