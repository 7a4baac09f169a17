"""What the notebooks ask of `swarm_ray.colab`, on a Colab that stands still."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from notebooks_for_tests import COLAB, Vm

from swarm_ray.colab import (
    about_machine,
    begin_experiment,
    check_node,
    flush_drive,
    page,
    remounter,
    secrets_needed,
    take_secret,
    wait_for_experiment,
)
from swarm_ray.config.load import load_config
from swarm_ray.errors import ConfigError, ExperimentNotFoundError, UserError
from swarm_ray.observe.display import Display

SECRET = "never-to-be-seen"


@pytest.fixture
def vm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vm]:
    """This process as a kernel of a Colab VM."""
    vm = Vm(tmp_path / "vm", tmp_path / "the drive")
    for name in ("COLAB_FOR_TESTS_DRIVE", "COLAB_FOR_TESTS_VM", "SWARM_RAY_STATE"):
        monkeypatch.setenv(name, vm.environment[name])
    for name in ("WANDB_API_KEY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.syspath_prepend(str(COLAB))
    yield vm
    for name in [name for name in sys.modules if name.startswith("google.colab")]:
        del sys.modules[name]


def nobody(_: str) -> str:
    raise EOFError


def secrets(vm: Vm, **values: str | None) -> None:
    (vm.folder / "secrets.json").write_text(json.dumps(values))


def test_a_secret_comes_from_colab_before_the_environment(vm: Vm, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    secrets(vm, HF_TOKEN=SECRET)
    monkeypatch.setenv("HF_TOKEN", "older")
    assert take_secret("HF_TOKEN", nobody) == "HF_TOKEN: from Colab's secrets"
    assert os.environ["HF_TOKEN"] == SECRET


def test_a_secret_comes_from_the_environment_where_colab_has_none(
    vm: Vm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    assert take_secret("HF_TOKEN", nobody) == "HF_TOKEN: from the environment"


def test_a_secret_that_is_nowhere_is_asked_for(vm: Vm, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("HF_TOKEN", "")
    asked: list[str] = []
    assert take_secret("HF_TOKEN", lambda text: asked.append(text) or SECRET) == "HF_TOKEN: as typed"  # type: ignore[func-returns-value]
    assert asked == ["HF_TOKEN (not shown; it is neither among Colab's secrets nor in the environment): "]
    assert os.environ["HF_TOKEN"] == SECRET


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        ({}, "neither among Colab's secrets nor in the environment"),
        ({"HF_TOKEN": None}, "no access to it among Colab's secrets"),
        ({"HF_TOKEN": ""}, "it is empty"),
    ],
)
def test_a_secret_that_nobody_gives_is_one_clear_line(
    vm: Vm, stored: dict[str, str | None], why: str
) -> None:
    secrets(vm, **stored)
    with pytest.raises(UserError, match=why):
        take_secret("HF_TOKEN", nobody)


def test_secrets_are_asked_for_where_something_needs_them() -> None:
    assert secrets_needed(load_config("tiny")) == []
    assert secrets_needed(load_config("tiny", overrides=["tracking.wandb=offline"])) == []
    on = ["tracking.wandb=online", "hub.repository=somebody/swarm"]
    assert secrets_needed(load_config("tiny", overrides=on)) == ["WANDB_API_KEY", "HF_TOKEN"]


def test_drive_is_mounted_again_and_it_is_said(vm: Vm) -> None:
    said: list[str] = []
    remount = remounter(str(vm.mount_point), said.append)
    remount("the \x1b[31mmount has gone")
    assert vm.my_drive.is_symlink()
    assert said == [
        "the shared folder is out of reach (the  [31mmount has gone); mounting Drive again, training continues"
    ]


def test_a_drive_that_cannot_be_mounted_again_does_not_end_the_run(vm: Vm) -> None:
    said: list[str] = []
    vm.mount_point.mkdir()
    (vm.mount_point / "in the way").touch()
    remounter(str(vm.mount_point), said.append)("gone")
    assert "Mountpoint must not already contain files. Interrupt the cell" in said[-1]


def test_a_flush_says_whether_anything_was_mounted(vm: Vm) -> None:
    """Colab's own call ends as if all were well."""
    from google.colab import drive

    assert flush_drive(str(vm.mount_point)).startswith("NOTHING WAS FLUSHED: no Drive answers at ")
    assert vm.calls("flush_and_unmount") == []
    drive.mount(str(vm.mount_point))
    assert flush_drive(str(vm.mount_point)) == "flushed and unmounted; this VM may go"
    assert not vm.my_drive.exists()


def test_away_from_colab_nothing_is_flushed_and_nothing_mounted(tmp_path: Path) -> None:
    said: list[str] = []
    remounter(str(tmp_path), said.append)("gone")
    assert said[-1] == "this is not Colab: mount the folder again yourself"
    assert flush_drive(str(tmp_path)).startswith("this is not Colab: nothing is mounted")


def test_an_experiment_is_made_and_then_found(tmp_path: Path) -> None:
    root = str(tmp_path / "My Drive")
    assert check_node(root, "one", "worker-1") == "node worker-1: new; experiment 'one' is not there yet"
    made = begin_experiment(root, "one", "tiny", ["rounds=5", "local=6", "external=2"])
    assert begin_experiment(root, "one", "colab", ["rounds=7", "local=6"]) == made.model_copy(
        update={"rounds": 7}
    )
    with pytest.raises(ConfigError, match="local: 4 here, 6 there"):
        begin_experiment(root, "one", "tiny", ["local=4"])
    assert check_node(root, "one", "worker-1") == "node worker-1: new in this experiment"
    with pytest.raises(UserError, match="'Worker 1' cannot name a node"):
        check_node(root, "one", "Worker 1")


def test_an_experiment_is_waited_for(tmp_path: Path) -> None:
    """Time passes only while it waits."""
    root, now = str(tmp_path / "My Drive"), [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] >= 20:
            begin_experiment(root, "late", "tiny", ["rounds=5"])

    def wait(name: str) -> int:
        found = wait_for_experiment(root, name, 30, display=Display(), clock=lambda: now[0], sleep=sleep)
        return found.rounds

    assert wait("late") == 5
    with pytest.raises(ExperimentNotFoundError, match=r"no experiment 'never' in .* after 30 s"):
        wait("never")


def test_a_machine_is_told_of() -> None:
    lines = about_machine().splitlines()
    assert [line.partition(" ")[0] for line in lines[:3]] == ["Python", "memory:", "own"]
    assert lines[3].startswith("GPU: ")


def test_a_page_cannot_leave_its_frame(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text('<p title="x">&amp;</p></iframe><script>')
    shown = page(path).data
    assert 'srcdoc="&lt;p title=&quot;x&quot;&gt;&amp;amp;&lt;/p&gt;&lt;/iframe&gt;&lt;script&gt;"' in shown
    assert shown.count("<") == shown.count(">") == 4


def test_it_loads_neither_torch_nor_ray() -> None:
    code = "import sys, swarm_ray.colab; print([n for n in ('torch', 'ray', 'transformers') if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
