"""The model card: what a model is, and what was measured of it; it claims nothing else."""

from __future__ import annotations

import json
import re
import textwrap

import yaml

from swarm_ray.checkpointing.node_state import NodeState
from swarm_ray.config.load import canonical_json
from swarm_ray.config.schema import SwarmConfig

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
        f"A node of a swarm that Swarm Ray trained with SAPO: {_origin(config)}, after {state.step} updates. "
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
            *(f"| {what} | {value} |" for what, value in _measured(state)),
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
    if not config.policy.is_tiny and _HUB_NAME.fullmatch(config.policy.model):
        values["base_model"] = config.policy.model
    return f"---\n{yaml.safe_dump(values, sort_keys=False)}---\n"


def _origin(config: SwarmConfig) -> str:
    if config.policy.is_tiny:
        return "the embedded model, which stands in for a pretrained one and is taught in code"
    if _HUB_NAME.fullmatch(config.policy.model):
        return f"from `{config.policy.model}`"
    return "from a model in a local folder"


def _measured(state: NodeState) -> list[tuple[str, str]]:
    totals = state.totals
    found = [
        ("updates (step)", str(state.step)),
        ("last round", str(state.round)),
        ("sum over rounds of the mean own reward", f"{totals.reward:.4g}"),
        ("mean own reward since the checkpoint before", _number(state.reward)),
        ("held-out pass@1 before training", _number(totals.pass_at_1_start)),
        ("held-out pass@1 at the end", _number(totals.pass_at_1_end)),
        ("external rollouts used", str(totals.used)),
        ("generated tokens", str(totals.generated_tokens)),
    ]
    return [(what, value) for what, value in found if value]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _settings(config: SwarmConfig) -> str:
    """What the swarm shared, without paths of the machine it ran on."""
    values = json.loads(canonical_json(config))
    for key in _LEFT_OUT:
        values.pop(key, None)
    if not config.policy.is_tiny and not _HUB_NAME.fullmatch(config.policy.model):
        values["policy"]["model"] = "(a local folder)"
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100).rstrip("\n")
