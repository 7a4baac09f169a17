"""The doctor's notebook, in two tabs at once: two VMs over one Drive, one of them with Colab's fsspec."""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from notebooks_for_tests import FOLDER, Notebook, Vm, notebook_for, only, printed, stored, titled

pytestmark = pytest.mark.notebook

OLD = "2025.3.0"
SCRIPT = FOLDER / "drive_check.py"
HEAVY = "import sys; print('loaded', [name for name in ('ray', 'torch') if name in sys.modules])"


@dataclass(frozen=True)
class Played:
    """What the two tabs showed."""

    root: Path
    first: Notebook
    second: Notebook


def notebook_of(vm: Vm, *titles: str, **values: object) -> Notebook:
    typed = {"folder": "a swarm", "rounds": 3, "wait_minutes": 1, **values}
    notebook = notebook_for(vm, "drive_check", **typed)
    titled(notebook, "Two VMs").source += f"\n{HEAVY}"
    return only(notebook, *titles) if titles else notebook


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """The whole notebook in one tab; in the other, which comes after a disconnect, what the text says."""
    folder = tmp_path_factory.mktemp("doctor")
    drive = Path(
        tempfile.mkdtemp(dir="/dev/shm", prefix="swarm-ray-drive-")
    )  # a device of its own, as a mount is
    first, second = Vm(folder / "first", drive), Vm(folder / "second", drive, fsspec=OLD)
    one = first.start(notebook_of(first, make_folder=True))
    one.wait_until((drive / "a swarm").is_dir, "the folder is there")
    other = second.start(notebook_of(second, "Drive", "Install", "Folder", "Two VMs"))
    yield Played(drive / "a swarm", one.result(), other.result())
    shutil.rmtree(drive)


def test_a_vm_alone_is_told_what_its_folder_is_like(played: Played) -> None:
    said = printed(titled(played.first, "This VM alone"))
    assert "FAIL" not in said
    assert re.search(r"OK +mount +a mount of its own", said)
    assert re.search(r"OK +listing .* at 1000 files", said)
    assert "What other machines see was not measured" in said
    assert "pace.dead_after_s=600" in said
    assert re.search(r"small writes +write_p99_s +[0-9.]", said)


def test_two_vms_meet_and_both_have_the_same_settings(played: Played) -> None:
    settings = []
    for notebook in (played.first, played.second):
        said = printed(titled(notebook, "Two VMs"))
        assert "round 3 of 3: " in said
        assert "FAIL" not in said
        assert re.search(
            r"OK +visibility +a file takes to the other machine: p50 .* \(3 times\)", " ".join(said.split())
        )
        assert re.search(r"OK +exclusive names", said)
        assert "both ends are on one and the same machine" in said, "here they are"
        assert re.search(r"visibility +one_way_samples +3\n", said)
        settings.append(re.findall(r"pace\.\w+=\d+", said))
    assert settings[0] == settings[1] != []


def test_each_vm_has_its_own_fsspec_and_loads_little(played: Played) -> None:
    assert f"fsspec {OLD}" in printed(titled(played.second, "Two VMs"))
    assert f", fsspec {OLD}\n" not in printed(titled(played.first, "This VM alone"))
    for notebook in (played.first, played.second):
        assert printed(titled(notebook, "Two VMs")).endswith("loaded []\n")


def test_reports_stay_in_the_folder_and_nothing_else(played: Played) -> None:
    left = [path for path in played.root.rglob("*") if path.is_file()]
    assert sorted(path.parent.name.partition("-")[0] for path in left) == ["alone", "first", "first"]
    for path in left:
        assert json.loads(path.read_text())["level"] in ("OK", "WARN")


def test_the_drive_and_install_cells_are_those_of_a_worker() -> None:
    ours, worker = stored(SCRIPT), stored(FOLDER / "colab_worker.py")
    for title in ("Drive", "Install"):
        assert titled(ours, title).source == titled(worker, title).source


def test_two_vms_on_a_drive_that_is_not_mounted(tmp_path: Path) -> None:
    vm = Vm(tmp_path / "vm", tmp_path / "drive")
    (tmp_path / "drive" / "a swarm").mkdir()
    notebook = vm.run(notebook_of(vm, "Drive", "Install", "Folder", "Two VMs"))
    said = printed(titled(notebook, "Two VMs"))
    assert re.search(r"FAIL +mount +lies on this machine's own disk", said)
    assert re.search(r"FAIL +other machine +not waited for", said)
