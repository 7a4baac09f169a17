"""Where results are to go: a path that cannot be is one line and status 2, and leaves nothing behind."""

import contextlib
import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from experiments_for_tests import finished

from swarm_ray.cli import main
from swarm_ray.config.load import load_config
from swarm_ray.errors import UserError
from swarm_ray.experiments.manage.archive import archive_experiment
from swarm_ray.experiments.manage.export import export_experiment, export_experiment_summary
from swarm_ray.models.export import replace_folder, require_model_folder
from swarm_ray.observe.report import write_report

LONG = "a" * 300
WRITERS = {
    "export": ["export", "-o"],
    "archive": ["archive", "-o"],
    "metrics": ["metrics", "--csv"],
    "report": ["report", "-o"],
    "figures": ["report", "-o", "page.html", "--figures"],
    "model": ["export-model", "--node", "node-0", "-o"],
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run, named `done`; nobody changes it."""
    root = tmp_path_factory.mktemp("root")
    finished(root, "done", load_config(overrides=["nodes=2", "rounds=2"]))
    return root


@pytest.mark.parametrize("what", WRITERS)
@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (f"{LONG}.zip", "File name too long"),
        (f"{LONG}/a.zip", "File name too long"),
        ("file/a.zip", "a file stands where a folder is needed"),
        ("", "an empty path names no place"),
        ("~nobody-of-that-name/a.zip", "its home folder does not exist"),
    ],
)
def test_a_place_that_cannot_be_is_one_line(
    what: str, place: str, expected: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    command, *options = WRITERS[what]
    place = place if what == "archive" else place.replace(".zip", "")
    with contextlib.chdir(tmp_path):
        assert main([command, "done", "--root", str(root), *options, place]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    if what != "model" or "file/" not in place:  # it has no checkpoint, which is told first
        assert expected in shown.err
    assert {path.name for path in tmp_path.iterdir()} <= {"file", "page.html"}
    assert (tmp_path / "file").read_text() == "mine"


def test_an_export_is_a_folder_unless_its_name_is_that_of_a_file(root: Path, tmp_path: Path) -> None:
    (tmp_path / "ready.d").mkdir()
    for name in ("v.2", "results of may", "ready.d"):
        assert export_experiment(str(root), "done", tmp_path / name)[0] == tmp_path / name / "summary.json"
    (tmp_path / "notes").write_text("mine")
    for name, reason in (
        ("notes", "notes is a file: name a folder"),
        ("all.data", r"all\.data looks like a file's name: make that folder, or name another"),
    ):
        said = rf"{reason}, which takes everything; or a file that ends in \.json"
        with pytest.raises(UserError, match=said):
            export_experiment(str(root), "done", tmp_path / name, overwrite=True)
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(UserError, match=r"folder\.json is a folder"):
        export_experiment(str(root), "done", tmp_path / "folder.json", overwrite=True)
    assert (tmp_path / "notes").read_text() == "mine"


def test_no_permission_is_a_users_error(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs this may be allowed everything, so the refusal is said by hand."""

    closed = tmp_path / "closed"

    def refusing(does: Callable[..., object]) -> Callable[..., object]:
        def asked(path: Path, *words: object, **options: object) -> object:
            if path.is_relative_to(closed):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return does(path, *words, **options)

        return asked

    for name in ("mkdir", "is_dir", "exists"):
        monkeypatch.setattr(Path, name, refusing(getattr(Path, name)))
    for attempt in (
        lambda: export_experiment_summary(str(root), "done", closed / "a.json"),
        lambda: export_experiment(str(root), "done", closed / "a.parquet"),
        lambda: archive_experiment(str(root), "done", closed / "a.zip"),
        lambda: write_report(str(root), ["done"], closed / "a.html"),
        lambda: require_model_folder(closed / "model", overwrite=False),
        lambda: replace_folder(closed / "model", lambda _: None),
    ):
        with pytest.raises(UserError, match="could not be written: Permission denied"):
            attempt()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cause", [KeyboardInterrupt(), MemoryError(), OSError(errno.ENOSPC, "No space")])
@pytest.mark.parametrize("moment", ["filling", "taking its place"])
def test_whatever_ends_it_the_folder_that_was_there_is_as_before(
    cause: BaseException, moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("old")
    rename = Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        if path.name.endswith(".made"):
            raise cause
        return rename(path, target)

    def fill(made: Path) -> None:
        (made / "config.json").write_text("new")
        if moment == "filling":
            raise cause

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(UserError if isinstance(cause, OSError) else type(cause)):
        replace_folder(folder, fill)
    assert {path.name: path.read_text() for path in tmp_path.rglob("*.json")} == {"config.json": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("name", ["experiment.json", "rewards/page.html"])
def test_nothing_is_written_among_the_experiments_files(tmp_path: Path, name: str) -> None:
    finished(tmp_path, "done", load_config("tiny", overrides=["rounds=2"]))
    target = tmp_path / "experiments" / "done" / name
    before = target.read_bytes() if target.exists() else None
    link = tmp_path / "page.html"
    link.symlink_to(target)
    for path in (target, link):
        with pytest.raises(UserError, match="among the experiments' own files"):
            write_report(str(tmp_path), ["done"], path)
        with pytest.raises(UserError, match="among the experiments' own files"):
            export_experiment_summary(str(tmp_path), "done", path, overwrite=True)
    with pytest.raises(UserError, match="among the experiments' own files"):
        export_experiment(str(tmp_path), "done", target.parent, overwrite=True)
    assert (target.read_bytes() if target.exists() else None) == before


@pytest.mark.parametrize("other", ["main.js", "src", ".git"])
def test_a_folder_that_holds_more_than_a_model_is_not_replaced(tmp_path: Path, other: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    require_model_folder(tmp_path, overwrite=True)
    (tmp_path / other).mkdir()
    with pytest.raises(UserError, match="holds other things than a model"):
        require_model_folder(tmp_path, overwrite=True)
