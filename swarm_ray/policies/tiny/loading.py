"""The embedded model's starts on disk: made once per recipe from the experiment's questions, then loaded.

Files are written under a temporary name and moved, so that two processes that make the same start do no harm to each
other.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.policies.logprobs import Layout
from swarm_ray.policies.policy import LanguageModel, Policy
from swarm_ray.policies.preflight import choose_device
from swarm_ray.policies.probe import find_layout, one_thread
from swarm_ray.policies.prompts import TinyPrompt
from swarm_ray.policies.tiny.model import build_model, build_tokenizer, markers
from swarm_ray.policies.tiny.starts import (
    RECIPE,
    SKILL,
    STARTS,
    habit_name,
    is_made,
    start_file,
    start_folder,
    tokenizer_folder,
)
from swarm_ray.policies.tiny.warm_start import (
    EXTRA_STEPS,
    SKILL_PASS_AT_1,
    SKILL_STEPS,
    Lessons,
    Report,
    train_habit,
    train_skill,
)
from swarm_ray.policies.transformers_models import CausalModel, TextTokenizer, read_tokenizer
from swarm_ray.tasks.pass_at_1 import overall, pass_at_1
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import Verifier
from swarm_ray.tasks.streams import derive_seed, derive_stream
from swarm_ray.tasks.task import Question

TOKENIZER_SEED, TOKENIZER_TEXTS = 12345, 400


def cached_tokenizer(config: SwarmConfig, folder: Path) -> TextTokenizer | None:
    """The embedded model's tokenizer, where this machine has made it before."""
    made = tokenizer_folder(config, folder)
    return read_tokenizer(str(made)) if made is not None else None


def make_tokenizer(config: SwarmConfig, tasks: TaskSet, folder: Path) -> TextTokenizer:
    """Train the embedded model's tokenizer on the experiment's questions, none of them held out, and keep it."""
    questions = [
        tasks.question(s, TOKENIZER_SEED, i) for s in tasks.specialties for i in range(TOKENIZER_TEXTS)
    ]
    texts = [q.text for q in questions if not tasks.is_held_out(q.text)]
    home = start_folder(config, folder)
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as made:
        build_tokenizer(texts).save_pretrained(Path(made))
        (home / "tokenizer").mkdir(exist_ok=True)
        for file in sorted(Path(made).iterdir(), key=lambda f: f.name == "tokenizer.json"):
            file.replace(home / "tokenizer" / file.name)
    return read_tokenizer(str(home / "tokenizer"))


class TinyStart:
    """Makes or loads the embedded model as the nodes of a swarm start from it.

    Args:
        config: names the start, its seed and the tasks.
        tasks: draws the lessons, never a held-out question.
        verifier: measures whether the start is what it should be.
        folder: where starts are kept.
        report: called with what is being done and the share of it that is done.
    """

    def __init__(
        self, config: SwarmConfig, tasks: TaskSet, verifier: Verifier, folder: Path, report: Report
    ) -> None:
        self._config, self._tasks, self._verifier, self._report = config, tasks, verifier, report
        self._cache, self._folder = folder, start_folder(config, folder)
        self.device = choose_device(config.policy.device)
        self.tokenizer = cached_tokenizer(config, folder) or make_tokenizer(config, tasks, folder)
        self._layouts: dict[torch.device, Layout] = {}

    def prepare(self, indices: list[int]) -> None:
        """Make what is missing of the starts numbered `indices`."""
        if self._config.policy.start == "blank":
            return
        with one_thread():  # two gain little on so small a model, and cost double on a busy machine
            self._cached(SKILL, self._skill)
            if self._config.policy.start == "base":
                return
            missing = [i for i in indices if not is_made(self._file(self._habit_name(i)))]
            for done, index in enumerate(missing):
                self._report("hiding the skill, node by node", done / len(missing))
                self._habit_state(index)

    def policy(self, index: int) -> Policy:
        """A policy of its own that starts as number `index`."""
        model = self._model()
        name = self._config.policy.start
        if name == "base":
            model.load_state_dict(self._cached(SKILL, self._skill))
        elif name != "blank":
            model.load_state_dict(self._habit_state(index))
        return self._wrap(model.to(self.device), self.device)

    def _habit_state(self, index: int) -> dict[str, torch.Tensor]:
        if STARTS[self._config.policy.start].shared:
            index = 0
        return self._cached(self._habit_name(index), lambda: self._habit(index))

    def _habit_name(self, index: int) -> str:
        return habit_name(self._config.policy.start, index)

    def _model(self) -> CausalModel:
        return build_model(self.tokenizer, derive_seed(self._config.policy.start_seed, "tiny", 0, "weights"))

    def _wrap(self, model: CausalModel, device: torch.device) -> Policy:
        pad = self.tokenizer.pad_token_id
        if device not in self._layouts:
            self._layouts[device] = find_layout(model, pad, self._config, device)
        language = LanguageModel(
            model,
            self.tokenizer,
            TinyPrompt(self.tokenizer),
            eos_ids=(self.tokenizer.eos_token_id,),
            banned_ids=markers(self.tokenizer),
        )
        return Policy(language, self._config, device, self._layouts[device])

    def _skill(self) -> dict[str, torch.Tensor]:
        """Stage 1; trained on where pass@1 falls short of 60 %."""
        model, seed = self._model(), self._config.policy.start_seed
        lessons = Lessons(self._tasks, self.tokenizer)
        train_skill(model, lessons, seed, SKILL_STEPS, self._report)
        if self._pass_at_1(model) < SKILL_PASS_AT_1:
            train_skill(model, lessons, seed, EXTRA_STEPS, self._report)
        self._note(SKILL, self._pass_at_1(model))
        return model.state_dict()

    def _habit(self, index: int) -> dict[str, torch.Tensor]:
        """Stage 2 for one node; trained on, three times at most, where it hides too little."""
        config, start = self._config, STARTS[self._config.policy.start]
        model = self._model()
        model.load_state_dict(self._cached(SKILL, self._skill))
        home = self._tasks.specialties[index % len(self._tasks.specialties)]
        lessons = Lessons(self._tasks, self.tokenizer)
        for attempt in range(4):
            stream = derive_stream(config.policy.start_seed, f"start-{index}", attempt, "habit")
            steps = start.steps if attempt == 0 else start.steps // 4
            train_habit(model, lessons, start, home, steps, stream)
            shown = self._pass_at_1(model)
            if shown <= 3 * start.most_pass_at_1:  # the bound is on the mean over nodes
                break
        self._note(self._habit_name(index), shown)
        return model.state_dict()

    def _pass_at_1(self, model: CausalModel) -> float:
        """Over 512 completions of 128 questions of the training pool, on the CPU, where starts are made."""
        stream = derive_stream(0, "warm-start", 0, "acceptance")
        questions: dict[str, list[Question]] = {}
        for question in self._tasks.draw(stream, 128):
            questions.setdefault(question.specialty, []).append(question)
        found = pass_at_1(self._wrap(model, torch.device("cpu")), questions, 4, 0.99, self._verifier, seed=0)
        return overall(found, questions) or 0.0

    def _note(self, name: str, shown: float) -> None:
        note = {"pass_at_1": shown, "recipe": RECIPE}
        _replace(self._folder / f"{name}.json", json.dumps(note).encode())

    def _cached(self, name: str, make: Callable[[], dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        file = self._file(name)
        if not is_made(file):
            state = {k: v.detach().cpu().contiguous().clone() for k, v in make().items()}
            _replace(file, safetensors.torch.save(state))
        return safetensors.torch.load(file.read_bytes())

    def _file(self, name: str) -> Path:
        return start_file(self._config, self._cache, name)


def _replace(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}")
    part.write_bytes(data)
    part.replace(file)
