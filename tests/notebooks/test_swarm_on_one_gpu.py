"""The notebook runs from its first cell to its last, as on Colab: its Drive is the one thing that is made up."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from swarm_ray.experiments import compare_experiments
from swarm_ray.tables import comparison_table

FOLDER = Path(__file__).parents[2] / "notebooks"
SCRIPTS = sorted(FOLDER.glob("*.py"))
Notebook = Any
"""nbformat's, which has no types."""
DRIVE = '''"""Stands for Colab's module of this name."""

from pathlib import Path


def mount(mountpoint):
    Path(mountpoint, "MyDrive").mkdir(parents=True)
    print("Mounted at", mountpoint)
'''


def with_values(notebook: Notebook, values: Mapping[str, object]) -> Notebook:
    """The notebook with other values in its forms, as a user types them."""
    for name, value in values.items():
        changed = 0
        for cell in notebook.cells:
            line, typed = rf"(?m)^{name} = .*?(?=  #@param)", f"{name} = {value!r}"
            cell.source, found = re.subn(line, typed.replace("\\", r"\\"), cell.source)
            changed += found
        assert changed == 1, f"{name} stands in {changed} forms"
    return notebook


def stored(script: Path) -> Notebook:
    return nbformat.read(script.with_suffix(".ipynb"), as_version=4)  # type: ignore[no-untyped-call]


def outputs(notebook: Notebook) -> list[Any]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def printed(notebook: Notebook) -> str:
    return "".join(output.text for output in outputs(notebook) if output.output_type == "stream")


@pytest.fixture
def colab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `google.colab` that kernels import, as a portion of the namespace package `google`."""
    module = tmp_path / "colab" / "google" / "colab"
    module.mkdir(parents=True)
    (module / "__init__.py").write_text("")
    (module / "drive.py").write_text(DRIVE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "colab"), prepend=os.pathsep)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    return tmp_path


def execute(notebook: Notebook, folder: Path) -> Notebook:
    client = NotebookClient(notebook, timeout=280, resources={"metadata": {"path": str(folder)}})
    return client.execute()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script_and_notebook_say_the_same(script: Path) -> None:
    written = jupytext.read(script)
    assert [(c.cell_type, c.source) for c in stored(script).cells] == [
        (c.cell_type, c.source) for c in written.cells
    ], "run: jupytext --to ipynb --update notebooks/*.py"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_no_output_is_stored(script: Path) -> None:
    notebook = stored(script)
    nbformat.validate(notebook)
    assert outputs(notebook) == []
    assert [c.execution_count for c in notebook.cells if c.cell_type == "code" and c.execution_count] == []


@pytest.mark.notebook
@pytest.mark.ray
def test_a_swarm_on_one_gpu(colab: Path) -> None:
    notebook = with_values(
        stored(FOLDER / "swarm_on_one_gpu.py"),
        {
            "use_drive": True,
            "mount_point": str(colab / "drive of ours"),
            "nodes": 2,
            "rounds": 3,
            "local": 2,
            "external": 2,
            "more": "policy.start=base evaluation.questions=2",
            "experiment": "from-a-notebook",
        },
    )
    execute(notebook, colab)
    said = printed(notebook)
    root = colab / "drive of ours" / "MyDrive" / "swarm-ray"
    swarm, alone = compare_experiments(str(root), ["from-a-notebook", "from-a-notebook-alone"])
    assert (swarm.state, swarm.rounds, swarm.nodes, swarm.local, swarm.external) == ("finished", 3, 2, 2, 2)
    assert (alone.state, alone.rounds, alone.nodes, alone.local, alone.external) == ("finished", 3, 2, 4, 0)
    assert "2 nodes, 3 rounds, 2 local / 2 external, 8 completions per question, seed 0\n" in said
    assert "from-a-notebook is done\n" in said
    assert comparison_table([swarm, alone]) in said
    shown = next(c.outputs for c in notebook.cells if "run = simulate(" in c.source)
    assert [output.output_type for output in shown] == ["display_data", "stream"], (
        "one table, redrawn in place"
    )
    assert "2 local / 2 external" in shown[0].data["text/plain"]
    pictures = [o.data["image/png"] for o in outputs(notebook) if "image/png" in o.get("data", {})]
    assert len(pictures) == 1
    assert (root / "experiments" / "from-a-notebook" / "reward.png").is_file()


@pytest.mark.notebook
def test_away_from_colab_there_is_no_drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = with_values(stored(FOLDER / "swarm_on_one_gpu.py"), {"use_drive": True})
    folder = next(i for i, c in enumerate(notebook.cells) if "#@title Folder" in c.source)
    del notebook.cells[folder + 1 :]
    with pytest.raises(CellExecutionError, match="Google Drive can be mounted on Colab only"):
        execute(notebook, tmp_path)
