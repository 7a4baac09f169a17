"""The paper's comparison from its notebook, with swarms small enough for a test; two of them at the fsspec that Colab has."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from nbclient.exceptions import CellExecutionError
from notebooks_for_tests import Notebook, Vm, notebook_for, only, outputs, printed, titled

from swarm_ray.experiments import compare_experiments, experiment_metrics

pytestmark = [pytest.mark.notebook, pytest.mark.timeout(600)]
OLD = "2025.3.0"
PAPERS = {"8/0": "561.79", "6/2": "854.43", "4/4": "1093.31", "2/6": "945.87"}
"""The rewards that the paper has for each split."""


def one_gpu(vm: Vm, **values: object) -> Notebook:
    small = "completions=4 policy.start=blank evaluation.questions=1 tasks.pool=600"
    typed = {"use_drive": True, "folder": "swarm ray", "nodes": 2, "rounds": 2, "more": small, "experiment": "paper"}
    return notebook_for(vm, "swarm_on_one_gpu", **typed | values)


@dataclass(frozen=True)
class Played:
    """What the notebook showed, and what it showed when it was begun again in a fresh kernel."""

    root: str
    vm: Vm
    first: Notebook
    again: Notebook
    splits: list[str]
    finished: list[str]
    """Those that were finished by then."""
    steps: dict[str, int]

    @property
    def names(self) -> list[str]:
        """Their experiments."""
        return [name_of(split) for split in self.splits]


def name_of(split: str) -> str:
    return f"paper-{split.replace('/', '-')}"


@pytest.fixture(
    scope="module",
    params=[(OLD, ["8/0", "4/4"]), pytest.param(("", list(PAPERS)), marks=pytest.mark.repeats)],
    ids=["two-splits", "all-splits"],
)
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Played:
    fsspec, splits = request.param
    folder = tmp_path_factory.mktemp("one")
    vm = Vm(folder / "vm", folder / "the drive", fsspec=fsspec)
    root = str(folder / "the drive" / "swarm ray")
    # As after a disconnect in the middle: the first half is finished, and the others were never begun.
    half = splits[: len(splits) // 2]
    asked = one_gpu(vm, splits=" ".join(half))
    first = vm.run(only(asked, "Folder", "Install", "Settings", "Ray", "Run", "Table"))
    steps = {name_of(split): len(experiment_metrics(root, name_of(split))) for split in half}
    again = vm.run(one_gpu(vm, splits=" ".join(splits)))
    return Played(root, vm, first, again, splits, half, steps)


@pytest.mark.ray
def test_the_swarms_of_the_paper_are_run(played: Played) -> None:
    found = compare_experiments(played.root, played.names)
    assert [(f.state, f.rounds, f.nodes, f"{f.local}/{f.external}") for f in found] == [
        ("finished", 2, 2, split) for split in played.splits
    ]
    assert (
        "paper-4-4: 2 nodes, 2 rounds, 4 local / 4 external, 4 completions per question, seed 0\n"
        in printed(titled(played.again, "Settings"))
    )


@pytest.mark.ray
def test_what_is_finished_is_not_run_again(played: Played) -> None:
    said = printed(titled(played.again, "Run")).splitlines()
    done = len(played.finished)
    assert [line.partition(";")[0] for line in said[:done]] == [
        f"{name} is finished already" for name in played.names[:done]
    ]
    # Blank models may well learn nothing in two rounds, which is told, and ends nothing.
    assert [line.split()[0] for line in said[done:]] == played.names[done:]
    assert {name: len(experiment_metrics(played.root, name)) for name in played.steps} == played.steps


@pytest.mark.ray
def test_the_table_stands_beside_the_papers(played: Played) -> None:
    (shown,) = [o for o in titled(played.again, "Table").outputs if o.output_type == "display_data"]
    for figure in (*(PAPERS[split] for split in played.splits), "1.946"):
        assert figure in shown.data["text/html"]
    (half,) = [o for o in titled(played.first, "Table").outputs if o.output_type == "display_data"]
    assert name_of(played.finished[-1]) in half.data["text/html"]
    assert name_of(played.splits[-1]) not in half.data["text/html"]


@pytest.mark.ray
def test_the_figures_are_shown_and_the_report_is_written(played: Played) -> None:
    pictures = [o for o in outputs(played.again) if "image/png" in o.get("data", {})]
    assert len(pictures) == 1
    own = played.vm.mount_point.parent
    assert (own / "reward.png").is_file()
    assert printed(titled(played.again, "Report")) == f"{own / 'paper.html'}\n"
    assert printed(titled(played.again, "Stop")) == "flushed and unmounted; this VM may go\n"


def test_away_from_colab_there_is_no_drive(tmp_path: Path) -> None:
    vm = Vm(tmp_path / "vm", tmp_path / "drive")
    vm.environment.pop("PYTHONPATH")
    with pytest.raises(CellExecutionError, match="Google Drive can be mounted on Colab only"):
        vm.run(only(one_gpu(vm), "Folder"))


def test_a_mistake_in_a_form_is_one_line(tmp_path: Path) -> None:
    vm = Vm(tmp_path / "vm", tmp_path / "drive")
    notebook = only(one_gpu(vm, splits="4/4 six/2"), "Folder", "Settings")
    with pytest.raises(CellExecutionError):
        vm.run(notebook)
    (error,) = [o for o in outputs(notebook) if o.output_type == "error"]
    assert error.traceback == ["UserError: 'six/2' is not a split; give own and external rollouts, such as 4/4"]
