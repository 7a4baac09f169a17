"""The cell *Install*, in an environment of its own with packages made here: what is there stays, or it fails loudly."""

import os
import subprocess
import venv
import zipfile
from pathlib import Path

import pytest
from notebooks_for_tests import FOLDER, only, stored, with_values

pytestmark = pytest.mark.notebook
HAD, NEWER = "2025.3.0", "2026.9.0"


def wheel(folder: Path, name: str, version: str, *requires: str) -> Path:
    """A wheel with one empty module."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with pip and Colab's fsspec, beside a house of wheels where a newer one lies."""
    folder = tmp_path_factory.mktemp("install")
    venv.create(folder / "venv", with_pip=True)
    found = folder / "venv" / "bin" / "python"
    had = wheel(folder, "fsspec", HAD)
    subprocess.run([found, "-m", "pip", "install", "-q", "--no-index", had], check=True, timeout=120)
    wheel(folder / "wheels", "fsspec", NEWER)
    wheel(folder / "wheels", "ray", "2.60.0")
    return found


def install(python: Path, package: str) -> subprocess.CompletedProcess[str]:
    """Run the cell as that Python's kernel would."""
    (cell,) = only(with_values(stored(FOLDER / "colab_worker.py"), {"package": package}), "Install").cells
    wheels = python.parents[2] / "wheels"
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return subprocess.run(
        [python, "-c", cell.source],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=python.parents[2],
        env={**os.environ, **pip},
    )


def test_without_a_package_it_says_what_to_do(python: Path) -> None:
    done = install(python, "")
    assert done.returncode == 1
    assert done.stderr == "Swarm Ray is not installed: put its folder, wheel or git address into `package`.\n"


def test_a_package_that_needs_another_fsspec_is_not_installed(python: Path) -> None:
    wanting = wheel(python.parents[2] / "elsewhere", "swarm_ray", "0.9.0", f"fsspec>={NEWER}", "ray")
    done = install(python, str(wanting))
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert said.startswith(f"pip could not install {str(wanting)!r}: ")
    assert f"The user requested (constraint) fsspec=={HAD}" in said


def test_what_is_there_stays_and_is_shown(python: Path) -> None:
    """The newer fsspec would do as well, and pip knows of it."""
    done = install(python, str(wheel(python.parents[2], "swarm_ray", "0.1.0", "fsspec>=2025.3.0", "ray")))
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines == [["fsspec", HAD, HAD], ["swarm-ray", "0.1.0"], ["ray", "2.60.0"]]
    again = install(python, "")
    assert (again.returncode, again.stdout) == (0, done.stdout)
