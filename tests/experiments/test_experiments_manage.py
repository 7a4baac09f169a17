"""A real run, in one process: exported, archived and restored, renamed and resumed, cleaned."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import mean

import actors_for_tests
import msgspec
import pyarrow.parquet as pq
import pytest
from actors_for_tests import OneProcessSwarm, until
from experiments_for_tests import FakeExperiment
from swarm_for_tests import closed_stages, small_config

from drive_store import StoreFull
from drive_store.checkpoints.manifest import Manifest
from drive_store.checkpoints.stored import StoredCheckpoints
from swarm_ray import cleanup_experiment, export_experiment, export_experiment_summary
from swarm_ray.config.load import extend_config
from swarm_ray.errors import MalformedFile, SwarmStateError, UserError
from swarm_ray.exchange.state_follower import decode_state
from swarm_ray.experiments import compare_experiments, experiment_metrics, experiment_status, list_experiments
from swarm_ray.experiments.folder import ExperimentAddress, local_folder
from swarm_ray.experiments.manage.rename import rename_experiment
from swarm_ray.experiments.open import init_experiment, open_or_create
from swarm_ray.experiments.read.experiment import open_experiment
from swarm_ray.experiments.read.rollouts import stored_files
from swarm_ray.tasks.questions import TaskSet

ROUNDS = 3
CONFIG = small_config(nodes=2, rounds=ROUNDS, pace__expect=2)
MODULES = ("swarm_tasks_for_tests",)
LOADED = """
import json, sys
from datasets import load_dataset
rows = load_dataset("parquet", data_files=sys.argv[1], split="train", cache_dir=sys.argv[2])
print(json.dumps([rows.column_names, len(rows), rows[0]]))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a swarm that has finished; nobody changes it."""
    root = tmp_path_factory.mktemp("made") / "My Drive"
    with OneProcessSwarm(root, CONFIG, [["node-0", "node-1"]], "small") as swarm:
        swarm.results()
        assert swarm.state() == "finished"
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy of it that may be changed."""
    return Path(shutil.copytree(made, tmp_path / "My Drive"))


def rollouts(root: Path, to: Path, problems: list[str]) -> Path:
    (path,) = export_experiment(str(root), "small", to / "x.parquet", modules=MODULES, problems=problems)
    return path


def test_every_kept_rollout_is_a_row_with_its_question(made: Path, tmp_path: Path) -> None:
    problems: list[str] = []
    path = rollouts(made, tmp_path, problems)
    rows = pq.read_table(path).to_pylist()
    assert problems == []
    assert len(rows) == 2 * ROUNDS * CONFIG.local
    tasks = TaskSet(CONFIG.tasks)
    for row in rows:
        assert (row["experiment"], row["fate"], row["alone"]) == ("small", "accepted", False)
        question = tasks.question(row["specialty"], row["seed"], row["index"])
        assert (row["question"], row["reference"]) == (question.text, question.reference)
        assert len(row["completions"]) == CONFIG.completions
        assert row["reward"] == pytest.approx(mean(c["reward"] for c in row["completions"]))
    own = {(r.node, r.round): r.reward for r in experiment_metrics(str(made), "small")}
    for (node, number), reward in own.items():
        mine = [row["reward"] for row in rows if (row["node"], row["round"]) == (node, number)]
        assert mean(mine) == pytest.approx(reward)


def test_the_datasets_library_loads_it(made: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", LOADED, str(rollouts(made, tmp_path, [])), str(tmp_path / "cache")]
    home = os.environ | {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=home)
    names, count, first = json.loads(found.stdout)
    assert (names[0], names[-1], count) == ("experiment", "completions", 2 * ROUNDS * CONFIG.local)
    assert set(first["completions"][0]) == {"text", "reward", "finished"}


def test_questions_of_modules_that_nobody_trusts_are_left_out(made: Path, tmp_path: Path) -> None:
    problems: list[str] = []
    (path,) = export_experiment(str(made), "small", tmp_path / "all.parquet", problems=problems)
    table = pq.read_table(path)
    assert table["question"].null_count == table.num_rows == 2 * ROUNDS * CONFIG.local
    assert len(problems) == 1
    assert "name it on your own command line" in problems[0]


def test_what_became_of_a_file_is_told_and_a_damaged_one_is_left_out(root: Path, tmp_path: Path) -> None:
    opened = open_experiment(str(root), "small")
    first, second, *_ = [f for f in stored_files(opened, []) if f.node == "node-0"]
    again = first.key.replace("-s0.0.", "-s0.1.")  # published twice, under another name with the same hash
    shutil.copy(root / first.key, root / again)
    (root / second.key).write_bytes((root / second.key).read_bytes()[:-9])
    assert len(stored_files(opened, [])) == 2 * ROUNDS
    problems: list[str] = []
    path = rollouts(root, tmp_path, problems)
    assert pq.read_metadata(path).num_rows == (2 * ROUNDS - 1) * CONFIG.local
    assert len(problems) == 1
    assert problems[0].startswith(f"{second.key} is left out: ")


def test_a_gap_in_the_log_hides_what_became_of_files(root: Path, tmp_path: Path) -> None:
    """The last round's file is in the folder, and what would say that it was accepted is not to be seen."""
    records = [decode_state(entry) for entry in open_experiment(str(root), "small").log().entries]
    last = max(n for n, record in enumerate(records) if record.closed is not None)
    next((root / "experiments/small/state/000000").glob(f"*-s{last:08d}.*")).unlink()
    for out in ("all", "all.parquet", "all.json"):
        with pytest.raises(SwarmStateError, match=r"is not counted.*pass a list of problems"):
            export_experiment(str(root), "small", tmp_path / out, modules=MODULES)
        assert not [path for path in tmp_path.glob("all*") if path.is_file() or list(path.iterdir())]
    problems: list[str] = []
    path = rollouts(root, tmp_path, problems)
    fates = {row["round"]: row["fate"] for row in pq.read_table(path).to_pylist()}
    assert fates == dict.fromkeys(range(ROUNDS - 1), "accepted") | {ROUNDS - 1: None}
    assert len(problems) == 1
    (going,) = cleanup_experiment(str(root), "small").removals
    assert (going.what, going.files) == ("round files that nobody will learn from again", 2 * ROUNDS)


def test_an_export_without_a_list_of_problems_is_whole_or_not_at_all(root: Path, tmp_path: Path) -> None:
    damaged = next((root / "experiments/small/rollouts").rglob("*.rollouts"))
    damaged.write_bytes(damaged.read_bytes()[:-9])
    with pytest.raises(MalformedFile, match=r"is left out.*pass a list of problems"):
        export_experiment(str(root), "small", tmp_path / "out", modules=MODULES)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_link_is_told_before_anything_is_written_or_removed(root: Path, tmp_path: Path) -> None:
    own = local_folder(ExperimentAddress(str(root), "small"))
    link = root / "experiments/small"
    link.rename(tmp_path / "theirs")
    link.symlink_to(tmp_path / "theirs")
    before, kept = sorted(root.rglob("*")), sorted(own.rglob("*"))
    for attempt, what in (
        (lambda: rename_experiment(str(root), "small", "large"), "renamed"),
        (lambda: init_experiment(str(root), "small", overwrite=True), "overwritten"),
        (lambda: cleanup_experiment(str(root), "small", dry_run=False, whole=True), "removed"),
    ):
        with pytest.raises(UserError, match=f"small is a link, so it cannot be {what}"):
            attempt()
        assert (sorted(root.rglob("*")), sorted(own.rglob("*"))) == (before, kept)


def test_a_folder_takes_everything_and_nothing_is_written_over(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "taken out"
    files = export_experiment(str(made), "small", out, modules=MODULES)
    assert sorted(f.name for f in files) == sorted(f.name for f in out.iterdir())
    assert {f.suffix for f in files} == {".json", ".csv", ".parquet"}
    summary = json.loads((out / "summary.json").read_bytes())
    (figures,) = compare_experiments(str(made), ["small"])
    assert summary["figures"] == msgspec.to_builtins(figures)
    assert (summary["config"]["local"], len(summary["status"]["nodes"])) == (2, 2)
    (out / "rounds.csv").unlink()
    with pytest.raises(UserError, match=r"summary\.json is there already"):
        export_experiment(str(made), "small", out)
    assert not (out / "rounds.csv").exists()
    with pytest.raises(UserError, match="is there already"):
        export_experiment_summary(str(made), "small", out / "summary.json")
    with pytest.raises(UserError, match=r"ends in \.json"):
        export_experiment(str(made), "small", tmp_path / "all.xls")
    assert export_experiment_summary(str(made), "small", out / "summary.json", overwrite=True).stat().st_size


def test_one_that_was_renamed_goes_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (before,) = compare_experiments(str(root), ["small"])
    rows = experiment_metrics(str(root), "small")
    done = rename_experiment(str(root), "small", "large")
    assert done.sealed > 2 * ROUNDS
    assert [s.name for s in list_experiments(str(root))] == ["large"]
    (after,) = compare_experiments(str(root), ["large"])
    assert msgspec.structs.replace(after, experiment="small") == before
    assert experiment_metrics(str(root), "large") == rows
    assert {f.fate for f in stored_files(open_experiment(str(root), "large"), [])} == {"accepted"}
    longer = extend_config(CONFIG, [f"rounds={ROUNDS + 1}"])
    open_or_create(ExperimentAddress(str(root), "large"), longer, overwrite=False)
    monkeypatch.setattr(actors_for_tests, "create_experiment", lambda *_, **__: None)  # it is there
    with OneProcessSwarm(root, longer, [["node-0", "node-1"]], "large") as swarm:
        swarm.results()
        assert swarm.state() == "finished"
    assert [c.round for c in closed_stages(root, "large")] == list(range(ROUNDS + 1))
    steps = [row.step for row in experiment_metrics(str(root), "large") if row.node == "node-1"]
    assert steps == list(range(ROUNDS + 1))
    recovered = [node.recovered for node in experiment_status(str(root), "large").nodes]
    assert all(f"step {ROUNDS}, round {ROUNDS - 1}, from the folder" in text for text in recovered), recovered


def test_a_folder_that_was_only_moved_is_refused_by_readers(root: Path) -> None:
    """The reason why renaming writes everything anew."""
    (root / "experiments" / "small").rename(root / "experiments" / "large")
    with pytest.raises(UserError, match=r"was made as 'small'.* swarm-ray rename"):
        experiment_status(str(root), "large")
    (listed,) = list_experiments(str(root))
    assert (listed.name, listed.state) == ("large", "unreadable")
    identity = root / "experiments" / "large" / "experiment.json"
    identity.write_text(identity.read_text().replace('"small"', '"large"'))
    assert open_experiment(str(root), "large").newest() is None  # its envelopes still say another name


def test_a_rename_that_fails_leaves_the_old_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fills up at the last file, the identity."""
    before = sorted(root.rglob("*"))
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == "experiment.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreFull, match="Could not write"):
        rename_experiment(str(root), "small", "large")
    assert sorted(root.rglob("*")) == before


def test_clean_says_what_and_does_it_only_when_asked(root: Path) -> None:
    planned = cleanup_experiment(str(root), "small")
    sizes = [f.stat().st_size for f in (root / "experiments/small/rollouts").rglob("*.rollouts")]
    assert [(r.files, r.bytes) for r in planned.removals] == [(2 * ROUNDS, sum(sizes))]
    assert (planned.done, len(sizes)) == (False, 2 * ROUNDS)
    before = compare_experiments(str(root), ["small"])
    done = cleanup_experiment(str(root), "small", dry_run=False)
    assert (done.removals, done.done) == (planned.removals, True)
    assert list((root / "experiments/small/rollouts").rglob("*.rollouts")) == []
    assert compare_experiments(str(root), ["small"]) == before
    assert cleanup_experiment(str(root), "small").removals == ()


def test_clean_leaves_what_lies_behind_a_link(root: Path, tmp_path: Path) -> None:
    folder = root / "experiments/small/rollouts"
    theirs = folder.rename(tmp_path / "theirs")
    folder.symlink_to(theirs)
    kept = sorted(theirs.rglob("*.rollouts"))
    assert kept
    assert cleanup_experiment(str(root), "small", dry_run=False).removals == ()
    assert sorted(theirs.rglob("*.rollouts")) == kept


def test_clean_keeps_the_newest_whole_checkpoint(root: Path) -> None:
    opened = open_experiment(str(root), "small")
    (folder,) = (root / "experiments/small/checkpoints").glob("node-0.*")
    newest = folder / f"step_{ROUNDS:06d}"
    torn = Path(shutil.copytree(newest, folder / "step_000009"))
    (torn / "manifest.json").unlink()
    cleanup_experiment(str(root), "small", dry_run=False)
    assert [path.name for path in folder.iterdir()] == [newest.name]
    stored = StoredCheckpoints(opened.address.open(), "node-0")
    assert isinstance(stored.manifest(stored.folders()[0]), Manifest)


def test_clean_leaves_what_a_node_may_learn_again(tmp_path: Path) -> None:
    """A run that stopped: node-1 has a checkpoint of the end, node-0 has none."""
    root = tmp_path / "My Drive"
    config = small_config(nodes=2, rounds=400, pace__expect=2)
    with OneProcessSwarm(root, config, [["node-0", "node-1"]]) as swarm:
        until(lambda: all(node.step >= 2 for node in swarm.trainers[0].nodes))
        swarm.coordinator.stop("stopped", "enough")
        swarm.results()
    planned = cleanup_experiment(str(root), "small")
    kept = next(remark for remark in planned.remarks if "may be learned" in remark)
    assert 0 < int(kept.split()[0]) < len(stored_files(open_experiment(str(root), "small"), []))
    shutil.rmtree(next((root / "experiments/small/checkpoints").glob("node-0.*")))
    planned = cleanup_experiment(str(root), "small", dry_run=False)
    assert "round files that the state log has answered" not in [r.what for r in planned.removals]
    assert planned.remarks[0].startswith("no checkpoint of node-0 is in the folder")


def test_clean_removes_all_of_it_when_told_to(root: Path) -> None:
    own = local_folder(ExperimentAddress(str(root), "small"))
    assert own.exists()  # this machine ran it
    planned = cleanup_experiment(str(root), "small", whole=True)
    kept = [[f for f in at.rglob("*") if f.is_file()] for at in (root / "experiments/small", own)]
    assert [r.bytes for r in planned.removals] == [sum(f.stat().st_size for f in files) for files in kept]
    assert own.exists()
    cleanup_experiment(str(root), "small", dry_run=False, whole=True)
    assert list_experiments(str(root)) == []
    assert not own.exists()
    assert not (root / "experiments/small").exists()


def test_what_is_in_use_is_neither_cleaned_nor_renamed(tmp_path: Path) -> None:
    running = FakeExperiment(tmp_path, "running", small_config(nodes=2, rounds=4))
    running.register("node-0", "node-1")
    running.close(0, {"node-0": 0.5, "node-1": 0.5})
    for attempt in (
        lambda: cleanup_experiment(str(tmp_path), "running"),
        lambda: cleanup_experiment(str(tmp_path), "running", dry_run=False, whole=True),
        lambda: rename_experiment(str(tmp_path), "running", "walking"),
    ):
        with pytest.raises(UserError, match=r"running is running, and .* so it cannot be .* swarm-ray stop"):
            attempt()
    running.age(3600)
    assert cleanup_experiment(str(tmp_path), "running").experiment == "running"
    assert rename_experiment(str(tmp_path), "running", "walking").experiment == "walking"
