"""A node's model, built from its experiment's configuration, as a folder that transformers loads.

It answers there as the node answered. Its card says what it is and what was measured of it, and claims nothing else.
"""

from __future__ import annotations

import copy
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
import yaml
from safetensors import SafetensorError

from swarm_ray.checkpointing.node_state import NodeState
from swarm_ray.config.load import canonical_json
from swarm_ray.config.schema import PolicyConfig, SwarmConfig
from swarm_ray.errors import UserError
from swarm_ray.policies.generate import Sampling
from swarm_ray.policies.huggingface import load_huggingface
from swarm_ray.policies.state import whole_state
from swarm_ray.policies.tiny.loading import tiny_language, tiny_tokenizer
from swarm_ray.policies.tiny.model import CHAT_TEMPLATE, build_model
from swarm_ray.policies.tiny.starts import start_folder
from swarm_ray.policies.transformers_models import (
    CausalModel,
    TextTokenizer,
    save_decoding,
    without_progress_bars,
)
from swarm_ray.tasks.questions import TaskSet

CARD = "README.md"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_LEFT_OUT = ("pace", "retention", "log", "alarm_rounds")
"""Sections that say how the swarm was run, and not what the model has learned from."""
_USE = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoModelForCausalLM.from_pretrained(".")
{prompt}
answer = model.generate(**prompt, do_sample=False)[0, prompt["input_ids"].shape[1]:]
print(tokenizer.decode(answer, skip_special_tokens=True))"""
_CHAT = """\
messages = [{"role": "user", "content": "..."}]
prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")"""
_PLAIN = 'prompt = tokenizer("Question: ...\\nAnswer:", return_tensors="pt", return_token_type_ids=False)'
_MEASURED = (
    "Rewards are those of the node's own completions while it trained, as it says itself. pass@1 is over questions "
    "that no training drew."
)
_CITATION = """\
@article{sapo2025,
  title = {Sharing is Caring: Efficient LM Post-Training with Collective RL Experience Sharing},
  journal = {arXiv preprint arXiv:2509.08721},
  year = {2025}
}"""
_VOCABULARY = "reasoning-gym"
"""The package whose questions the embedded model's vocabulary is made of."""


@dataclass(frozen=True)
class ModelParts:
    """What a node's model is made of, beside its weights."""

    model: CausalModel
    """Of the node's architecture; its weights are not looked at and not changed."""
    tokenizer: TextTokenizer
    """With the template by which the node was asked."""
    sampling: Sampling


def fill_folder(folder: Path, parts: ModelParts, weights: Mapping[str, torch.Tensor], card: str) -> None:
    """Write model, tokenizer, decoding settings and model card into a folder that is there.

    Args:
        folder: an empty one.
        parts: the model's.
        weights: the trainable ones, on the CPU.
        card: the text of its `README.md`.

    Raises:
        CheckpointMismatch: the weights are of another model.
        OSError: the disk does not take it.
    """
    sampling, state = parts.sampling, whole_state(parts.model, weights)
    with without_progress_bars():
        try:
            parts.model.save_pretrained(folder, state_dict=state)
        except SafetensorError as error:
            raise OSError(str(error)) from error
    save_decoding(
        parts.model,
        folder,
        eos_ids=sampling.eos_ids,
        pad_id=sampling.pad_id,
        banned_ids=sorted(sampling.banned_ids),
        temperature=sampling.temperature,
        max_new_tokens=sampling.max_new_tokens,
    )
    parts.tokenizer.save_pretrained(folder)
    (folder / CARD).write_text(card, encoding="utf-8")


def build_parts(
    config: SwarmConfig, versions: Mapping[str, str], cache: Path, modules: Sequence[str]
) -> ModelParts:
    """Build the model and the tokenizer of an experiment's nodes.

    Args:
        config: the experiment's.
        versions: of the packages that it was made with.
        cache: where the embedded model's tokenizers are kept.
        modules: modules with tasks that may be imported; they are needed where the tokenizer is not in the cache.

    Raises:
        ModelError: the Hugging Face model cannot be loaded.
        UserError: the embedded model's vocabulary cannot be made here.
    """
    if not config.policy.is_tiny:
        with without_progress_bars():
            language = load_huggingface(config.policy.model)
    else:
        _require_same_questions(versions)
        home = start_folder(config.tasks, config.policy.start_seed, cache)
        tokenizer = tiny_tokenizer(home, lambda: TaskSet(config.tasks, allowed_modules=tuple(modules)))
        language = tiny_language(build_model(tokenizer, seed=0), tokenizer)
    tokenizer = exported_tokenizer(language.tokenizer, is_tiny=config.policy.is_tiny)
    return ModelParts(language.model, tokenizer, language.sampling(config.policy))


def exported_tokenizer(tokenizer: TextTokenizer, *, is_tiny: bool) -> TextTokenizer:
    """A copy, for another thread than the trainer's, with the template by which the embedded model is asked."""
    exported = copy.deepcopy(tokenizer)
    exported.chat_template = CHAT_TEMPLATE if is_tiny else tokenizer.chat_template
    return exported


def _require_same_questions(versions: Mapping[str, str]) -> None:
    made, here = versions.get(_VOCABULARY, ""), version(_VOCABULARY)
    if made and made != here:
        raise UserError(
            f"the embedded model's vocabulary is made of the questions of {_VOCABULARY}, and the experiment had "
            f"version {made!r} of it: here is {here}; export where that version is installed"
        )


def model_card(experiment: str, state: NodeState, config: SwarmConfig, *, chat: bool) -> str:
    """The text of a model's `README.md`.

    Texts of the experiment stand in indented blocks alone, which nothing in them can end.

    Args:
        experiment: its name.
        state: the node's, as its checkpoint has it.
        config: the experiment's.
        chat: whether the tokenizer has a chat template.
    """
    whose = (
        f"A node of a swarm that Swarm Ray trained with SAPO: {_origin(config.policy)}, after {state.step} updates. "
        "Nothing is known of it beyond the questions named below."
    )
    return "\n".join(
        [
            _front_matter(config),
            f"# {state.node} of {experiment}, step {state.step}",
            "",
            whose,
            "",
            "| measured | value |",
            "|---|---|",
            *(f"| {what} | {value} |" for what, value in _measured(state) if value),
            "",
            _MEASURED,
            "",
            "## Use",
            "",
            textwrap.indent(_USE.format(prompt=_CHAT if chat else _PLAIN), "    "),
            "",
            "`generation_config.json` samples as the node did.",
            "",
            "## Configuration",
            "",
            textwrap.indent(_settings(config), "    "),
            "",
            "## Citation",
            "",
            textwrap.indent(_CITATION, "    "),
            "",
        ]
    )


def _front_matter(config: SwarmConfig) -> str:
    values: dict[str, object] = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["swarm-ray", "sapo", "grpo", "reinforcement-learning"],
    }
    if name := _hub_model(config.policy):
        values["base_model"] = name
    return f"---\n{yaml.safe_dump(values, sort_keys=False)}---\n"


def _hub_model(policy: PolicyConfig) -> str:
    """The model that was started from, by its name on the Hub; empty for the embedded one and a local folder."""
    return policy.model if not policy.is_tiny and _HUB_NAME.fullmatch(policy.model) else ""


def _origin(policy: PolicyConfig) -> str:
    if policy.is_tiny:
        return "the embedded model, which stands in for a pretrained one and is taught in code"
    name = _hub_model(policy)
    return f"from `{name}`" if name else "from a model in a local folder"


def _measured(state: NodeState) -> list[tuple[str, str]]:
    totals = state.totals
    return [
        ("updates (step)", str(state.step)),
        ("last round", str(state.round)),
        ("sum over rounds of the mean own reward", f"{totals.reward:.4g}"),
        ("mean own reward since the checkpoint before", _number(state.reward)),
        ("held-out pass@1 before training", _number(totals.pass_at_1_start)),
        ("held-out pass@1 at the end", _number(totals.pass_at_1_end)),
        ("external rollouts used", str(totals.used)),
        ("generated tokens", str(totals.generated_tokens)),
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _settings(config: SwarmConfig) -> str:
    """What the swarm shared, without paths of the machine it ran on."""
    values = {key: v for key, v in json.loads(canonical_json(config)).items() if key not in _LEFT_OUT}
    if not config.policy.is_tiny and not _hub_model(config.policy):
        values["policy"]["model"] = "(a local folder)"
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100).rstrip("\n")
