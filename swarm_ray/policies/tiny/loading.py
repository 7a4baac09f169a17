"""The embedded model's starts on disk: made once per recipe from the experiment's questions, then loaded.

Files are written under a temporary name and moved, so that two processes that make the same start do no harm to each
other.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import safetensors.torch
import torch

from swarm_ray.config.schema import GrpoConfig, PolicyConfig
from swarm_ray.policies.loading import choose_device
from swarm_ray.policies.logprobs import Layout
from swarm_ray.policies.pass_at_1 import pass_at_1
from swarm_ray.policies.policy import LanguageModel, Policy
from swarm_ray.policies.probe import one_thread, probe_layout
from swarm_ray.policies.prompts import tiny_prompt
from swarm_ray.policies.tiny.model import build_model, build_tokenizer
from swarm_ray.policies.tiny.starts import (
    RECIPE,
    SKILL,
    STARTS,
    TOKENIZER,
    is_made,
    start_file,
    start_folder,
    start_names,
)
from swarm_ray.policies.tiny.warm_start import (
    EXTRA_STEPS,
    SKILL_PASS_AT_1,
    SKILL_STEPS,
    Report,
    train_habit,
    train_skill,
)
from swarm_ray.policies.transformers_models import CausalModel, TextTokenizer, read_tokenizer
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import Verifier
from swarm_ray.tasks.streams import derive_seed, derive_stream
from swarm_ray.tasks.task import Question

TOKENIZER_SEED, TOKENIZER_TEXTS = 12345, 400


def tiny_tokenizer(home: Path, make_tasks: Callable[[], TaskSet]) -> TextTokenizer:
    """The embedded model's tokenizer; made where this machine has not made it before.

    Args:
        home: a `start_folder`, which keeps it.
        make_tasks: the experiment's questions; it is trained on some, none of them held out.
    """
    folder = home / "tokenizer"
    if not (home / TOKENIZER).exists():
        tasks = make_tasks()
        questions = [
            tasks.question(s, TOKENIZER_SEED, i) for s in tasks.specialties for i in range(TOKENIZER_TEXTS)
        ]
        texts = [q.text for q in questions if not tasks.is_held_out(q.text)]
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home) as made:
            build_tokenizer(texts).save_pretrained(Path(made))
            for file in sorted(Path(made).iterdir(), key=lambda f: f.name == Path(TOKENIZER).name):
                file.replace(folder / file.name)
    return read_tokenizer(str(folder))


def tiny_language(model: CausalModel, tokenizer: TextTokenizer) -> LanguageModel:
    """The embedded model with its prompt and its ends; it samples no other special token than the one that ends."""
    end = tokenizer.eos_token_id
    markers = tuple(i for i in tokenizer.all_special_ids if i != end)
    return LanguageModel(model, tokenizer, partial(tiny_prompt, tokenizer), (end,), markers)


class TinyStart:
    """Makes or loads the embedded model as the nodes of a swarm start from it.

    Args:
        config: names the start and its seed, and how its policies decode.
        tasks: draws the lessons, never a held-out question.
        verifier: measures whether the start is what it should be.
        folder: where starts are kept.
        report: called with what is being done and the share of it that is done.
    """

    def __init__(
        self,
        config: PolicyConfig,
        tasks: TaskSet,
        verifier: Verifier,
        folder: Path,
        report: Report,
    ) -> None:
        self._config, self._tasks = config, tasks
        self._verifier, self._report = verifier, report
        self._folder = start_folder(tasks.config, config.start_seed, folder)
        self.device = choose_device(config.device)
        self.tokenizer = tiny_tokenizer(self._folder, lambda: tasks)
        self._layouts: dict[torch.device, Layout] = {}

    def prepare(self, indices: list[int]) -> None:
        """Make what is missing of the starts numbered `indices`."""
        names = start_names(self._config.start, indices)
        missing = [name for name in names if not is_made(start_file(self._folder, name))]
        with one_thread():  # two gain little on so small a model, and cost double on a busy machine
            for done, name in enumerate(missing):
                if name != SKILL:
                    self._report("hiding the skill, node by node", done / len(missing))
                self._weights(name)

    def policy(self, index: int) -> Policy:
        """A policy of its own that starts as number `index`; how it learns is for `Policy.use` to say."""
        model = self._model()
        for name in start_names(self._config.start, [index])[-1:]:
            model.load_state_dict(self._weights(name))
        return self._wrap(model.to(self.device), self.device)

    def _model(self) -> CausalModel:
        return build_model(self.tokenizer, derive_seed(self._config.start_seed, "tiny", 0, "weights"))

    def _wrap(self, model: CausalModel, device: torch.device) -> Policy:
        if device not in self._layouts:
            pad = self.tokenizer.pad_token_id
            self._layouts[device] = probe_layout(model, pad, self._config, device)
        language = tiny_language(model, self.tokenizer)
        return Policy(language, self._config, GrpoConfig(), device, self._layouts[device])

    def _weights(self, name: str) -> dict[str, torch.Tensor]:
        """Weights by their name, which says what they are; made where this machine does not have them."""
        file = start_file(self._folder, name)
        if not is_made(file):
            model = self._model()
            shown = self._teach(model) if name == SKILL else self._hide(model, int(name.rpartition("-")[2]))
            _replace(file.with_suffix(".json"), json.dumps({"pass_at_1": shown, "recipe": RECIPE}).encode())
            state = {k: v.detach().cpu().contiguous().clone() for k, v in model.state_dict().items()}
            _replace(file, safetensors.torch.save(state))
        return safetensors.torch.load(file.read_bytes())

    def _teach(self, model: CausalModel) -> float:
        """Stage 1; trained on where pass@1 falls short of 60 %. Answers the pass@1 reached."""
        seed = self._config.start_seed
        train_skill(model, self.tokenizer, self._tasks, seed, SKILL_STEPS, self._report)
        shown = self._pass_at_1(model)
        if shown < SKILL_PASS_AT_1:
            train_skill(model, self.tokenizer, self._tasks, seed, EXTRA_STEPS, self._report)
            shown = self._pass_at_1(model)
        return shown

    def _hide(self, model: CausalModel, index: int) -> float:
        """Stage 2 for one node; trained on, three times at most, where it hides too little. Answers the pass@1 left."""
        start = STARTS[self._config.start]
        model.load_state_dict(self._weights(SKILL))
        home = self._tasks.specialties[index % len(self._tasks.specialties)]
        for attempt in range(4):
            stream = derive_stream(self._config.start_seed, f"start-{index}", attempt, "habit")
            steps = start.steps if attempt == 0 else start.steps // 4
            train_habit(model, self.tokenizer, self._tasks, start, home, steps, stream)
            shown = self._pass_at_1(model)
            if shown <= 3 * start.most_pass_at_1:  # the bound is on the mean over nodes
                break
        return shown

    def _pass_at_1(self, model: CausalModel) -> float:
        """Over 512 completions of 128 questions of the training pool, on the CPU, where starts are made."""
        stream = derive_stream(0, "warm-start", 0, "acceptance")
        questions: dict[str, list[Question]] = {}
        for question in self._tasks.draw(stream, 128):
            questions.setdefault(question.specialty, []).append(question)
        policy = self._wrap(model, torch.device("cpu"))
        mean, _ = pass_at_1(policy, questions, 4, 0.99, self._verifier, seed=0)
        return mean or 0.0


def _replace(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}")
    part.write_bytes(data)
    part.replace(file)
