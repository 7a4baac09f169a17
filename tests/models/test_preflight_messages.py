"""A mistake is one line and status 2, before Ray is started and before an experiment is made."""

from pathlib import Path

import pytest
import ray
from huggingface_hub import constants

from swarm_ray.cli.arguments import overrides_of, parse
from swarm_ray.cli.main import COMMANDS, main
from swarm_ray.config.load import load_config


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("tasks.specialties=[gcdd]", "tasks.specialties[0].task: no data set of reasoning-gym or registered"),
        ("tasks.specialties=[{name: x, task: gcd, options: {max_value: many}}]", "it must be a whole number"),
        ("tasks.modules=[no_such_module]", "tasks.modules: cannot import 'no_such_module'"),
        ("policy.model=./nowhere", "policy.model='./nowhere': no such folder; check the path"),
        ("hub.repository=me/swarm", "needs a token for the Hugging Face Hub; set HF_TOKEN"),
        ("hub.repository=swarm", "hub.repository='swarm' is not possible; it must be owner/name"),
    ],
)
def test_a_mistake_leaves_nothing_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    override: str,
    expected: str,
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    running = ray.is_initialized()
    options = ["--root", str(tmp_path / "My Drive"), "--experiment", "first", "--nodes", "2"]
    assert main(["simulate", *options, override]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("swarm-ray: ")
    assert expected in said
    assert not list(tmp_path.rglob("experiment.json"))
    assert ray.is_initialized() is running


def test_a_folder_with_a_model_is_found_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a model").mkdir()
    known = {"a model": str(tmp_path / "a model"), "owner/name": "owner/name", "tiny": "tiny"}
    for given, meant in known.items():
        arguments = parse(COMMANDS, ["simulate", "--model", given])
        assert load_config("tiny", None, overrides_of(arguments)).policy.model == meant
