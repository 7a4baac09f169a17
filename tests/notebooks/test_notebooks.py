"""What holds for every notebook: its pair, no stored outputs, forms, and the cells that all of them share."""

import re
from typing import Any

import jupytext
import nbformat
import pytest
from notebooks_for_tests import FOLDER, outputs, stored, title_of, titled

SCRIPTS = sorted(FOLDER.glob("*.py"))
NAMES = ("colab_coordinator", "colab_worker", "drive_check", "monitor_experiment", "swarm_on_one_gpu")
ROOT = FOLDER.parent
OF_THE_SYSTEM = ("Transport endpoint is not connected", "[Errno 5]")
LONGEST, LONGEST_INSTALL = 22, 38
"""Lines of a cell; that of *Install* must do without the package."""


def test_all_five_are_there() -> None:
    assert tuple(script.stem for script in SCRIPTS) == NAMES


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script_and_notebook_say_the_same(script: Any) -> None:
    written = jupytext.read(script)
    assert [(c.cell_type, c.source) for c in stored(script).cells] == [
        (c.cell_type, c.source) for c in written.cells
    ], "run: jupytext --to ipynb --update notebooks/*.py"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_no_output_is_stored(script: Any) -> None:
    notebook = stored(script)
    nbformat.validate(notebook)
    assert outputs(notebook) == []
    assert [c.execution_count for c in code_cells(notebook) if c.execution_count] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_cell_has_a_title_and_is_told_of_before(script: Any) -> None:
    cells = stored(script).cells
    for number, cell in enumerate(cells):
        if cell.cell_type == "code":
            assert title_of(cell), cell.source[:80]
            assert cell.source.startswith("#@title"), cell.source[:80]
            assert cells[number - 1].cell_type == "markdown", title_of(cell)
            longest = LONGEST_INSTALL if title_of(cell) == "Install" else LONGEST
            assert len(cell.source.splitlines()) <= longest, title_of(cell)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_colabs_rules_stand_in_it(script: Any) -> None:
    text = " ".join(" ".join(c.source for c in stored(script).cells if c.cell_type == "markdown").split())
    for words in ("FAQ", "compute units", "several accounts"):
        assert words in text


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_all_install_in_the_same_way(script: Any) -> None:
    first = titled(stored(SCRIPTS[0]), "Install")
    assert titled(stored(script), "Install").source == first.source


def test_the_messages_that_the_worker_explains_are_those_of_the_code() -> None:
    """Quoted in its table, with … and figures where the code puts something in."""
    packages = [ROOT / name for name in ("swarm_ray", "actors", "drive_store")]
    sources = [path.read_text() for package in packages for path in package.rglob("*.py")]
    said = re.sub(r'"\s*\n\s*f?"', "", "\n".join(sources))  # texts that are split over lines
    table = [line for cell in stored(FOLDER / "colab_worker.py").cells for line in cell.source.splitlines()]
    quoted = [
        text for line in table if line.startswith("| `") for text in re.findall("`(.+?)`", line.split("|")[1])
    ]
    parts = [part.strip() for text in quoted for part in re.split(r"…|\b2\b|'", text)]
    parts = [part for part in parts if part not in {"", "in", "s", "node", "after", *OF_THE_SYSTEM}]
    assert len(parts) > 20
    assert [part for part in parts if part not in said] == []
