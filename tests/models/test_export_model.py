"""A node's model as a folder: transformers loads it without a network, and it answers there as the node did."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from actors_for_tests import OneProcessSwarm
from models_for_tests import save_model
from swarm_for_tests import SMALL, small_config
from transformers import AutoModelForCausalLM, AutoTokenizer

from drive_store import ExperimentPaths, ExperimentStore, Store
from drive_store.checkpoints.stored import StoredCheckpoints
from swarm_ray import export_model
from swarm_ray.cli.main import main
from swarm_ray.config.load import load_config
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import CheckpointMismatch, ModelError, UserError
from swarm_ray.machine.cancellation import never_cancelled
from swarm_ray.machine.local_disk import cache_folder
from swarm_ray.policies.loading import load_policies
from swarm_ray.policies.policy import Policy
from swarm_ray.policies.tiny.starts import start_folder

NODES = ["node-0", "node-1"]
ROUNDS = 4
Command = Callable[..., tuple[int, str, str]]
QUESTIONS = ["Toss coin 3: ", "Toss coin 17: ", "Toss coin 599: "]


@dataclass(frozen=True)
class Trained:
    """A swarm that has run to its end, and its nodes' policies."""

    root: str
    config: SwarmConfig
    policies: dict[str, Policy]

    def stored(self, node: str) -> list[int]:
        """Steps of which the folder has a checkpoint."""
        store = ExperimentStore(Store(self.root), ExperimentPaths("small"))
        return [folder.step for folder in StoredCheckpoints(store, node).folders()]


def train(root: Path, **changes: object) -> Trained:
    """Two nodes; a checkpoint goes to the folder after every round, if the one before is there by then."""
    settings = {"rounds": ROUNDS, "checkpoint__every": 1, "checkpoint__store_every_s": 0}
    settings["pace__expect"] = len(NODES)
    config = small_config(**settings | changes)
    with OneProcessSwarm(root, config, [NODES]) as swarm:
        (result,) = swarm.results()
    assert (result.rounds, result.problems) == (config.rounds, {})
    policies = {n.id: n.policy for n in swarm.trainers[0].nodes}
    for policy in policies.values():
        policy.check_cancelled = never_cancelled  # theirs was told to stop
    return Trained(str(root), config, policies)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(tmp_path_factory.mktemp("tiny") / "My Drive")


def model_folder(folder: Path, *, chat: bool) -> Path:
    """A chat model (Qwen2) or a base model (GPT-2) with room for a question, as `save_pretrained` writes them."""
    ids = {"bos_token_id": 3, "pad_token_id": 0}
    if not chat:
        return save_model(folder, "gpt2", chat=False, n_positions=256, **ids)
    save_model(folder, "qwen2", max_position_embeddings=256, **ids)
    settings = folder / "generation_config.json"
    penalty = {"repetition_penalty": 1.3}  # a node does not sample with it
    settings.write_text(json.dumps(json.loads(settings.read_text()) | penalty))
    return folder


@pytest.fixture(scope="module", params=["chat", "base"])
def pretrained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    place = tmp_path_factory.mktemp(request.param)
    folder = model_folder(place / "a model", chat=request.param == "chat")
    changes = {"policy__model": str(folder), "policy__device": "cpu", "grpo__learning_rate": 0.01}
    return train(place / "My Drive", rounds=2, **changes)


@torch.inference_mode()
def greedy(policy: Policy, question: str) -> list[int]:
    """The likeliest tokens, one after the other, of those that the policy ever samples."""
    sampling, ids = policy.sampling, list(policy.group(question, []).prompt)
    found: list[int] = []
    while len(found) < sampling.max_new_tokens and not set(found) & set(sampling.eos_ids):
        logits = policy.model(input_ids=torch.tensor([ids + found])).logits[0, -1]
        logits[list(sampling.banned_ids)] = -torch.inf
        found.append(int(logits.argmax()))
    return found


def answers(folder: Path, prompts: list[list[int]]) -> list[list[int]]:
    """What the exported model answers by `generate`, with no settings but its own."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    found = []
    for prompt in prompts:
        ids = torch.tensor([prompt])
        row = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False)
        found.append(row[0, ids.shape[1] :].tolist())
    return found


def by_template(folder: Path, question: str) -> list[int]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if not tokenizer.chat_template:
        return list(tokenizer.encode(f"Question: {question}\nAnswer:"))
    message = [{"role": "user", "content": question}]
    return list(tokenizer.apply_chat_template(message, add_generation_prompt=True, return_dict=False))


def check_answers(path: Path, policy: Policy) -> None:
    """The folder asks and answers as the policy does."""
    prompts = [by_template(path, question) for question in QUESTIONS]
    assert prompts == [list(policy.group(question, []).prompt) for question in QUESTIONS]
    assert answers(path, prompts) == [greedy(policy, question) for question in QUESTIONS]


@pytest.mark.parametrize("node", NODES)
def test_the_embedded_model_answers_as_the_node_did(tiny: Trained, tmp_path: Path, node: str) -> None:
    path = export_model(tiny.root, "small", node, tmp_path / "a folder", modules=["swarm_tasks_for_tests"])
    assert path == tmp_path / "a folder"
    check_answers(path, tiny.policies[node])


def test_a_pretrained_model_answers_as_the_node_did(pretrained: Trained, tmp_path: Path) -> None:
    path = export_model(pretrained.root, "small", "node-0", tmp_path / "out")
    check_answers(path, pretrained.policies["node-0"])
    start = AutoModelForCausalLM.from_pretrained(pretrained.config.policy.model).state_dict()
    now = AutoModelForCausalLM.from_pretrained(path).state_dict()
    assert any(not torch.equal(value, start[name]) for name, value in now.items()), "it has learned"
    assert pretrained.config.policy.model not in (path / "README.md").read_text()


def test_what_was_exported_starts_another_swarm(tiny: Trained, tmp_path: Path) -> None:
    path = export_model(tiny.root, "small", "node-1", tmp_path / "start")
    overrides = {"policy.model": str(path), "policy.device": "cpu"}
    (policy,) = load_policies(load_config("tiny", overrides=overrides), 1)
    before = tiny.policies["node-1"]
    assert policy.sampling.eos_ids == before.sampling.eos_ids
    assert set(policy.sampling.banned_ids) == set(before.sampling.banned_ids)
    assert policy.generate(QUESTIONS, 8, seed=3) == before.generate(QUESTIONS, 8, seed=3)
    again = train(tmp_path / "again", rounds=1, policy__model=str(path), policy__device="cpu")
    last = export_model(again.root, "small", "node-0", tmp_path / "last")
    theirs = answers(last, [by_template(last, QUESTIONS[0])])
    assert theirs == [greedy(again.policies["node-0"], QUESTIONS[0])]


def test_the_card_says_what_it_is(tiny: Trained, tmp_path: Path) -> None:
    text = (export_model(tiny.root, "small", "node-0", tmp_path / "out") / "README.md").read_text()
    assert text.startswith("---\nlibrary_name: transformers\n")
    assert "# node-0 of small, step 4" in text
    assert "| updates (step) | 4 |" in text
    assert "    learning_rate: 0.001" in text
    assert "arXiv:2509.08721" in text


@pytest.fixture
def command(tiny: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `export-model` of node-0 into `out`; answers status, standard output and standard error."""

    def run(*words: str, node: str = "node-0", out: str = "out") -> tuple[int, str, str]:
        line = [
            "export-model",
            "small",
            "--node",
            node,
            "--root",
            tiny.root,
            "-o",
            str(tmp_path / out),
            *words,
        ]
        status = main(line)
        said, complained = capsys.readouterr()
        assert complained.count("\n") <= 1
        return status, said, complained

    return run


def test_the_command_writes_a_folder_once(command: Command, tmp_path: Path) -> None:
    status, said, complained = command(out="a folder/below")
    assert (status, complained) == (0, "")
    assert said.startswith("node-0 at step 4, round 3, mean own reward ")
    assert said.endswith(f": {tmp_path / 'a folder/below'}\n")
    assert command(out="a folder/below")[2] == (
        f"swarm-ray: {tmp_path / 'a folder/below'} is not empty: name another folder, or give --overwrite to replace a "
        "model in it\n"
    )
    (tmp_path / "a folder/below/model-00001-of-00002.safetensors").touch()
    assert command("--overwrite", out="a folder/below")[0] == 0
    assert sorted(p.name for p in (tmp_path / "a folder").iterdir()) == ["below"]
    assert not list((tmp_path / "a folder/below").glob("*-of-*"))


def test_nothing_but_a_model_is_overwritten(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    (tmp_path / "file").write_text("more years")
    status, _, complained = command("--overwrite", out="mine")
    assert (status, "holds other things than a model" in complained) == (2, True)
    status, _, complained = command("--overwrite", out="file")
    assert (status, "is a file; name a folder" in complained) == (2, True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"


def test_every_stored_step_can_be_had(tiny: Trained, command: Command) -> None:
    for step in tiny.stored("node-0"):
        status, said, _ = command("--step", str(step), "--overwrite")
        assert (status, said.split(",")[0]) == (0, f"node-0 at step {step}")
    assert command("--step", "best", "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("words", "node", "expected"),
    [
        (["--step", "77"], "node-0", "has no checkpoint of node-0 at step 77; it has step"),
        (["--step", "-1"], "node-0", "must be a step (a whole number), last or best"),
        (["--step", "first"], "node-0", "must be a step (a whole number), last or best"),
        ([], "node-7", "has no checkpoint of node-7; it has of node-0, node-1"),
        ([], "../../etc", "../../etc"),
        (["tasks.seed=3"], "node-0", "no such argument: tasks.seed=3"),
        (["tasks.modules=[os]"], "node-0", "no such argument: tasks.modules=[os]"),
        (["--module", "os"], "node-0", "--module os: the experiment has no such module of its own"),
    ],
)
def test_a_mistake_is_one_line(
    command: Command, tmp_path: Path, words: list[str], node: str, expected: str
) -> None:
    status, said, complained = command(*words, node=node)
    assert (status, said) == (2, "")
    assert expected in complained
    assert not (tmp_path / "out").exists()


def copied(tiny: Trained, folder: Path) -> Path:
    """The experiment in another folder, to be damaged."""
    shutil.copytree(tiny.root, folder)
    return folder / "experiments" / "small"


def test_a_damaged_checkpoint_is_refused_or_passed_over(tiny: Trained, tmp_path: Path) -> None:
    home = copied(tiny, tmp_path / "copy")
    newest = next(home.glob(f"checkpoints/node-0.*/step_{ROUNDS:06d}"))
    data = (newest / "weights.safetensors").read_bytes()
    (newest / "weights.safetensors").write_bytes(data[:-4] + b"\0\0\0\1")
    root, problems = str(tmp_path / "copy"), list[str]()
    with pytest.raises(UserError, match=r"weights\.safetensors is not what the manifest says; it has step"):
        export_model(root, "small", "node-0", tmp_path / "out", ROUNDS)
    assert not (tmp_path / "out").exists()
    for step in home.glob("checkpoints/node-0.*/step_*"):
        if step != newest:
            shutil.rmtree(step)
    shutil.copytree(next(home.glob("checkpoints/node-1.*")) / newest.name, newest.with_name("step_000001"))
    with pytest.raises(UserError, match="not used"):
        export_model(root, "small", "node-0", tmp_path / "out", problems=problems)
    assert len(problems) == 2, "another node's checkpoint counts for nothing, and is told"


def test_foreign_modules_are_not_run(tiny: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARM_RAY_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError, match="wants to import the Python module 'swarm_tasks_for_tests'"):
        export_model(tiny.root, "small", "node-0", tmp_path / "out")
    path = export_model(tiny.root, "small", "node-0", tmp_path / "out", modules=["swarm_tasks_for_tests"])
    assert by_template(path, QUESTIONS[0]) == list(tiny.policies["node-0"].group(QUESTIONS[0], []).prompt)
    start = start_folder(tiny.config.tasks, tiny.config.policy.start_seed, cache_folder())
    assert (start / "tokenizer" / "tokenizer.json").exists()


def test_another_version_of_the_questions_is_refused(tiny: Trained, tmp_path: Path) -> None:
    file = copied(tiny, tmp_path / "copy") / "experiment.json"
    identity = json.loads(file.read_text())
    identity["versions"] = {"reasoning-gym": "0.0.1"}
    file.write_text(json.dumps(identity))
    with pytest.raises(UserError, match=r"had version '0\.0\.1' of it"):
        export_model(str(tmp_path / "copy"), "small", "node-0", tmp_path / "out")


def test_a_pretrained_model_that_is_not_there_or_another(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model", chat=False)
    run = train(tmp_path / "root", rounds=1, policy__model=str(folder), policy__device="cpu")
    model_folder(tmp_path / "other", chat=True)
    folder.rename(tmp_path / "away")
    with pytest.raises(ModelError, match="no such folder; check the path"):
        export_model(run.root, "small", "node-0", tmp_path / "out")
    (tmp_path / "other").rename(folder)
    with pytest.raises(CheckpointMismatch, match=r"its weights are not those of policy\.model="):
        export_model(run.root, "small", "node-0", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert SMALL["nodes"] == len(NODES)
