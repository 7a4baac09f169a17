"""Notebooks run on VMs that are folders: two of them have one Drive, and each mounts it at a place of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

FOLDER = Path(__file__).parents[2] / "notebooks"
COLAB = Path(__file__).parent / "colab_for_tests"
WITHIN_S = 280.0
LOOK_S = 0.05
Notebook = Any
"""nbformat's, which has no types."""


class Vm:
    """A Colab VM: its own disk, its mount point, its packages; `drive` is the account's, common to all VMs.

    Args:
        folder: what stands for its own disk; made.
        drive: what stands for the account's Drive; made.
        fsspec: another version than the installed one, from `.venv/fsspec-<version>` (see the Makefile).
    """

    def __init__(self, folder: Path, drive: Path, *, fsspec: str = "") -> None:
        self.folder, self.drive = folder, drive
        self.mount_point = folder / "content" / "drive"
        self.my_drive = self.mount_point / "MyDrive"
        self.mount_point.parent.mkdir(parents=True, exist_ok=True)
        drive.mkdir(parents=True, exist_ok=True)
        paths = [str(COLAB)]
        if fsspec:
            packages = Path(sys.prefix, f"fsspec-{fsspec}")
            assert (packages / "fsspec").is_dir(), f"{packages} is not there: run make install"
            paths.insert(0, str(packages))
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "IPYTHONDIR": str(folder / "ipython"),
            "SWARM_RAY_STATE": str(folder / "state"),
            "COLAB_FOR_TESTS_DRIVE": str(drive),
            "COLAB_FOR_TESTS_VM": str(folder),
        }

    def calls(self, name: str) -> list[dict[str, Any]]:
        """What was asked of `google.colab` here under that name."""
        path = self.folder / "calls.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [call for call in map(json.loads, lines) if call["call"] == name]

    def run(self, notebook: Notebook) -> Notebook:
        """Execute the notebook in a kernel of its own; answers it with its outputs.

        Raises:
            CellExecutionError: a cell failed.
        """
        return self.start(notebook).result()

    def start(self, notebook: Notebook) -> Execution:
        """Begin to execute the notebook; several may be under way at once."""
        return Execution(self, notebook)


class Execution:
    """A notebook that is being executed in a kernel of its own."""

    def __init__(self, vm: Vm, notebook: Notebook) -> None:
        self.vm, self.notebook = vm, notebook
        self._client = NotebookClient(
            notebook, timeout=int(WITHIN_S), resources={"metadata": {"path": str(vm.mount_point.parent)}}
        )
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._execute, name=vm.folder.name, daemon=True)
        self._thread.start()

    def result(self) -> Notebook:
        """Wait for its end; answers the notebook.

        Raises:
            CellExecutionError: a cell failed.
            DeadKernelError: the kernel was killed.
        """
        self._thread.join(WITHIN_S)
        assert not self._thread.is_alive(), f"not over after {WITHIN_S:g} s: {printed(self.notebook)}"
        if self._error is not None:
            raise self._error
        return self.notebook

    def wait_until(self, condition: Callable[[], bool], what: str, beside: Execution | None = None) -> None:
        """Wait until `condition` holds while the notebook runs, and the one beside it, if there is one."""
        deadline = time.monotonic() + WITHIN_S
        while not condition():
            for one in (self, *((beside,) if beside else ())):
                assert one.is_alive(), f"over before {what}: {one._error}: {printed(one.notebook)}"
            assert time.monotonic() < deadline, f"not within {WITHIN_S:g} s: {what}"
            time.sleep(LOOK_S)

    def is_alive(self) -> bool:
        """Whether it is still being executed."""
        return self._thread.is_alive()

    def interrupt(self) -> None:
        """What the square beside a running cell does."""
        os.kill(self._kernel(), signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL to the kernel and all it has started, as when a VM is taken or its session is restarted."""
        kernel = psutil.Process(self._kernel())
        tree = [kernel, *kernel.children(recursive=True)]
        for process in tree:
            _kill(process)
        psutil.wait_procs(tree, timeout=10)
        self._thread.join(WITHIN_S)

    def _kernel(self) -> int:
        assert self._client.km is not None
        return int(self._client.km.provisioner.process.pid)

    def _execute(self) -> None:
        try:
            asyncio.run(self._client.async_execute(env=self.vm.environment))
        except (AssertionError, CellExecutionError, DeadKernelError, OSError, RuntimeError) as error:
            self._error = error


def stored(script: Path) -> Notebook:
    """The notebook that is paired with a script."""
    return nbformat.read(script.with_suffix(".ipynb"), as_version=4)  # type: ignore[no-untyped-call]


def notebook_for(vm: Vm, name: str, **values: object) -> Notebook:
    """A notebook of the project that mounts Drive where this VM does, with these values in its forms."""
    return with_values(stored(FOLDER / f"{name}.py"), {"mount_point": str(vm.mount_point), **values})


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


def only(notebook: Notebook, *titles: str) -> Notebook:
    """The code cells of these titles alone, in the notebook's order, as a person runs them by hand."""
    found = {title: cell for cell in notebook.cells if (title := title_of(cell))}
    assert set(titles) <= set(found), f"{sorted(set(titles) - set(found))} are not among {sorted(found)}"
    notebook.cells = [cell for title, cell in found.items() if title in titles]
    return notebook


def title_of(cell: Any) -> str:
    """The title of a cell's form; empty where it has none."""
    found = re.search(r"(?m)^#@title (.*?) *(?:\{.*\})?$", cell.source) if cell.cell_type == "code" else None
    return found.group(1).strip() if found else ""


def titled(notebook: Notebook, title: str) -> Any:
    """The cell with that title."""
    (cell,) = [cell for cell in notebook.cells if title_of(cell) == title]
    return cell


def outputs(notebook: Notebook) -> list[Any]:
    """Of all code cells, in order."""
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def printed(of: Any) -> str:
    """What a notebook, or one cell of it, printed."""
    shown = of.get("outputs", []) if "cell_type" in of else outputs(of)
    return "".join(output.text for output in shown if output.output_type == "stream")


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
