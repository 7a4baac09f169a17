"""A coordinator's and a worker's notebook at once over one Drive; the worker is interrupted, or killed, and resumed.

Then the monitor's looks at what they did. In `make test` all have the fsspec that Colab has, but the worker's first kernel.
"""

import html
import json
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import DeadKernelError
from notebooks_for_tests import Notebook, Vm, notebook_for, only, outputs, printed, titled

from drive_store import Store, newest
from swarm_ray.exchange.state_follower import decode_state
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.experiments import (
    compare_experiments,
    experiment_history,
    experiment_metrics,
    experiment_status,
)
from swarm_ray.observe.status_tables import comparison_table
from drive_store import ExperimentStore

pytestmark = [pytest.mark.notebook, pytest.mark.ray, pytest.mark.timeout(600)]

NAME, ROUNDS = "from-two", 12
WHICH = {"folder": "swarm ray", "experiment": NAME}
SETUP = ("Drive", "Install", "Keys", "Settings")
OLD = "2025.3.0"
HEAVY = ("torch", "transformers", "ray")


@dataclass(frozen=True)
class Played:
    """What the two VMs showed."""

    root: str
    coordinator: Vm
    worker: Vm
    coordinated: Notebook
    lives: int
    """Kernels of the worker."""
    fsspec: str
    """The coordinator's and the monitor's version."""
    interrupted: Notebook
    resumed: Notebook
    looking: Vm
    looked: Notebook


def coordinator_notebook(vm: Vm) -> Notebook:
    more = "completions=4 policy.start=blank evaluation.questions=2 pace.min_nodes=2 pace.max_s=100 pace.dead_after_s=100"
    own = {"preset": "tiny", "rounds": ROUNDS, "local": 2, "external": 2, "node": "host"}
    return notebook_for(vm, "colab_coordinator", **WHICH, **own, more=f"{more} 'tasks.pool=600'")


def worker_notebook(vm: Vm) -> Notebook:
    return notebook_for(vm, "colab_worker", **WHICH, more="slow_down_s=0.3")


def monitor_notebook(vm: Vm) -> Notebook:
    """With one more cell, which says what was loaded."""
    notebook = notebook_for(vm, "monitor_experiment", **WHICH, every_s=0.5)
    asked = (
        "#@title Loaded\nimport sys\nimport fsspec\n"
        f"print(fsspec.__version__, [name for name in {HEAVY} if name in sys.modules])"
    )
    notebook.cells.append(nbformat.v4.new_code_cell(asked))  # type: ignore[no-untyped-call]
    return notebook


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and the time of its last change."""
    found = [(path, path.stat()) for path in folder.rglob("*")]
    return {str(path): (stat.st_size, stat.st_mtime_ns) for path, stat in found}


def closed(root: str) -> int:
    paths = ExperimentAddress(root, NAME).paths
    if not Path(root, paths.experiment_json).exists():
        return 0
    found = newest(ExperimentStore(Store(root), paths))
    return max((tally.round + 1 for tally in decode_state(found).tallies.values()), default=0) if found else 0


@pytest.fixture(
    scope="module", params=[2, pytest.param(3, marks=pytest.mark.repeats)], ids=["interrupted", "killed-too"]
)
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """With two kernels of the worker, of which the first is interrupted; or with one more before, which is killed."""
    folder = tmp_path_factory.mktemp("two")
    others = OLD if request.param == 2 else ""
    host = Vm(folder / "host", folder / "the drive", fsspec=others)
    guest = Vm(folder / "guest", folder / "the drive", fsspec=OLD)
    renewed = Vm(folder / "guest", folder / "the drive")  # the same machine, with the newest packages
    root = str(folder / "the drive" / "swarm ray")

    coordinating = host.start(coordinator_notebook(host))
    vm = renewed
    if request.param == 3:
        first, vm = renewed.start(worker_notebook(renewed)), guest
        first.wait_until(lambda: closed(root) >= 2, "two rounds", coordinating)
        first.kill()
        with pytest.raises(DeadKernelError):
            first.result()

    asked = only(worker_notebook(vm), *SETUP, "Wait for the experiment", "Peers", "Run", "Results")
    second = vm.start(asked)
    before = closed(root)
    second.wait_until(lambda: closed(root) >= before + 2, "two rounds", coordinating)
    host.my_drive.unlink()  # the coordinator's mount dies, and its notebook mounts it again
    second.wait_until(host.my_drive.is_symlink, "Drive mounted again", coordinating)
    before = closed(root)
    second.wait_until(lambda: closed(root) >= before + 1, "a round after that", coordinating)
    second.interrupt()
    interrupted = second.result()

    resumed = guest.run(only(worker_notebook(guest), *SETUP, "Peers", "Run", "Results", "Flush"))
    coordinated = coordinating.result()

    looking = Vm(folder / "looking", folder / "the drive", fsspec=others)
    before_looking = tree(looking.drive)
    looked = looking.run(monitor_notebook(looking))
    assert tree(looking.drive) == before_looking, "a monitor writes nothing"
    return Played(
        root=root,
        coordinator=host,
        worker=guest,
        coordinated=coordinated,
        lives=request.param,
        fsspec=others or version("fsspec"),
        interrupted=interrupted,
        resumed=resumed,
        looking=looking,
        looked=looked,
    )


def test_all_rounds_are_run_by_both(played: Played) -> None:
    status = experiment_status(played.root, NAME)
    assert (status.state, status.round) == ("finished", ROUNDS - 1)
    assert [(node.id, node.round, node.problem) for node in status.nodes] == [
        ("host", ROUNDS - 1, None),
        ("worker-1", ROUNDS - 1, None),
    ]
    assert [stage.round for stage in experiment_history(played.root, NAME)] == list(range(ROUNDS))


def test_the_coordinator_says_what_it_has_made_and_how_it_ended(played: Played) -> None:
    notebook = played.coordinated
    assert f"experiments lie in {played.coordinator.my_drive}/swarm ray\n" in printed(
        titled(notebook, "Drive")
    )
    assert "trained here: host\n" in printed(titled(notebook, "Settings"))
    assert "node host: new; experiment 'from-two' is not there yet\n" in printed(titled(notebook, "Identity"))
    made = printed(titled(notebook, "Experiment"))
    assert made.startswith("tiny, 12 rounds, 2 local / 2 external, 4 completions, seed 0, pace barrier\n")
    assert "its coordinator has not begun" in made
    assert printed(titled(notebook, "Run")).endswith(f"{NAME} is done\n")
    assert f"{NAME} is finished" in printed(titled(notebook, "Where it stands"))
    pictures = [output for output in outputs(notebook) if "image/png" in output.get("data", {})]
    assert len(pictures) == 1


def test_its_drive_is_mounted_again_by_its_kernel(played: Played) -> None:
    said = printed(titled(played.coordinated, "Run"))
    assert re.search(
        r"the shared folder is out of reach \(.*\); mounting Drive again, training continues\n", said
    )
    first, again = played.coordinator.calls("mount")
    assert (first["force_remount"], again["force_remount"]) == (False, True)
    assert first["pid"] == again["pid"]


def test_the_worker_waits_for_the_experiment_and_sees_its_peers(played: Played) -> None:
    seen = printed(titled(played.resumed, "Peers"))
    assert "host" in seen
    assert "worker-1" in seen


def test_a_fresh_kernel_resumes_from_the_setup_cells_and_run(played: Played) -> None:
    rows = [row for row in experiment_metrics(played.root, NAME) if row.node == "worker-1"]
    steps = [row.step for row in rows]
    assert steps == sorted(set(steps)), "no step is taken twice"
    assert len({row.incarnation for row in rows}) == played.lives
    recovered = [
        node.recovered for node in experiment_status(played.root, NAME).nodes if node.id == "worker-1"
    ]
    assert re.fullmatch("resumed at step [0-9]+ from .*nothing lost", recovered[0])


def test_an_interrupted_run_ends_in_order_and_the_cells_below_go_on(played: Played) -> None:
    said = printed(titled(played.interrupted, "Run"))
    assert said.endswith("interrupted; published files and logs are complete\n")
    assert NAME in printed(titled(played.interrupted, "Results"))
    assert printed(titled(played.resumed, "Run")).endswith(f"{NAME} is done\n")


def test_one_picture_is_redrawn_in_place(played: Played) -> None:
    for notebook in (played.coordinated, played.interrupted, played.resumed):
        shown = titled(notebook, "Run").outputs
        assert [o.output_type for o in shown].count("display_data") == 1, shown


def test_drive_is_flushed_where_it_was_mounted(played: Played) -> None:
    for notebook, vm in ((played.coordinated, played.coordinator), (played.resumed, played.worker)):
        assert printed(titled(notebook, "Flush")) == "flushed and unmounted; this VM may go\n"
        assert len(vm.calls("flush_and_unmount")) == 1
        assert not vm.my_drive.exists()


def test_each_vm_ran_with_its_own_fsspec(played: Played) -> None:
    """What each VM has is in the log of its nodes."""
    found = {_fsspec_of(path) for path in Path(played.root).rglob("system_info.json")}
    assert {fsspec for node, fsspec in found if node == "host"} == {played.fsspec}
    assert {fsspec == OLD for node, fsspec in found if node == "worker-1"} == {True, False}
    assert f"fsspec       {OLD}" in printed(titled(played.resumed, "Install"))


def test_the_monitor_needs_neither_torch_nor_ray_and_mounts_to_read(played: Played) -> None:
    assert printed(titled(played.looked, "Loaded")) == f"{played.fsspec} []\n"
    assert [call["readonly"] for call in played.looking.calls("mount")] == [True]
    assert f"fsspec       {played.fsspec}" in printed(titled(played.looked, "Install"))


def test_the_monitor_shows_what_the_folder_says(played: Played) -> None:
    looked = played.looked
    said = printed(titled(looked, "Status"))
    assert said.startswith(f"{NAME} is finished: round {ROUNDS - 1}, {ROUNDS} rounds in all\n")
    assert [word for word in ("host", "worker-1") if word not in said] == []
    assert comparison_table(compare_experiments(played.root, [NAME])) in printed(titled(looked, "Compare"))
    (watched,) = titled(looked, "Watch").outputs
    assert f"{ROUNDS} of {ROUNDS} rounds" in watched.data["text/plain"]
    assert [len(titled(looked, title).outputs) for title in ("Curves", "Tables")] == [1, 3]


def test_the_report_lies_on_the_monitors_own_disk_and_is_shown(played: Played) -> None:
    cell = titled(played.looked, "Report")
    path = played.looking.mount_point.parent / f"{NAME}.html"
    assert printed(cell) == f"{path}\n"
    shown = cell.outputs[-1].data["text/html"]
    assert shown.startswith("<div><iframe srcdoc=")
    assert html.escape(path.read_text()) in shown


def _fsspec_of(path: Path) -> tuple[str, str]:
    """The node whose log it is, and the version in it."""
    return path.parent.name.partition(".")[0], json.loads(path.read_text())["versions"]["fsspec"]
