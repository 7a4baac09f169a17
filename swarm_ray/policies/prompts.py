"""How a question becomes a prompt: the embedded model's template, a chat template, or plain text."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

from jinja2 import TemplateError

from swarm_ray.config.schema import PolicyConfig
from swarm_ray.policies.tiny.model import PROMPT_TEMPLATE
from swarm_ray.policies.transformers_models import TextTokenizer

_SPOKEN = "forty-two"


class Turn(NamedTuple):
    """A question with a system prompt of its own, as games ask it; a policy's own is then not used."""

    system: str
    question: str


Asked = str | Turn
"""What a policy is asked."""


PromptFormat = Callable[[Asked], tuple[int, ...]]
"""Turns a question's text into prompt tokens, generation marker included."""


def tiny_prompt(tokenizer: TextTokenizer, question: Asked) -> tuple[int, ...]:
    """`<q>question<a>`, the embedded model's template; it knows no system prompt and leaves a turn's out."""
    text = PROMPT_TEMPLATE.format(question=_turn(question, "").question)
    return tuple(tokenizer.encode(text, add_special_tokens=False))


def plain_prompt(tokenizer: TextTokenizer, system_prompt: str, question: Asked) -> tuple[int, ...]:
    """For base models without a chat template, GPT-2 say: system prompt, question and `Answer:` as text.

    It has a begin-of-sequence token where the tokenizer adds one, never an end.
    """
    system, asked = _turn(question, system_prompt)
    opening = f"{system}\n\n" if system else ""
    ids = tokenizer.encode(f"{opening}Question: {asked}\nAnswer:")
    return tuple(ids[:-1] if ids[-1] == tokenizer.eos_token_id else ids)


class ChatPrompt:
    """The tokenizer's own chat template, with a system prompt where there is one.

    Where the template refuses a system message (Gemma's does), the system prompt opens the user's message.
    """

    def __init__(self, tokenizer: TextTokenizer, system_prompt: str) -> None:
        self._tokenizer, self._system = tokenizer, system_prompt
        self._known = cache(self._takes_system)

    def __call__(self, question: Asked) -> tuple[int, ...]:
        """The prompt's tokens, ending where the assistant speaks."""
        system, asked = _turn(question, self._system)
        if system and not self._known(system):
            system, asked = "", f"{system}\n\n{asked}"
        return tuple(self._tokenizer.encode(self._render(system, asked), add_special_tokens=False))

    def _render(self, system: str, asked: str) -> str:
        opening = [{"role": "system", "content": system}] if system else []
        messages = [*opening, {"role": "user", "content": asked}]
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def _takes_system(self, system: str) -> bool:
        try:
            return system.strip() in self._render(system, "")
        except TemplateError:
            return False


def _turn(question: Asked, system_prompt: str) -> Turn:
    return question if isinstance(question, Turn) else Turn(system_prompt, question)


def prompt_format(tokenizer: TextTokenizer, system_prompt: str) -> PromptFormat:
    """The chat template where the tokenizer has one, else plain text."""
    if tokenizer.chat_template:
        return ChatPrompt(tokenizer, system_prompt)
    return partial(plain_prompt, tokenizer, system_prompt)


def system_prompt_of(config: PolicyConfig, answer: str) -> str:
    """`policy.system_prompt`; reasoning-gym's `DeepSeekZero` where that is empty and answers are `tagged`."""
    if config.system_prompt or answer != "tagged":
        return config.system_prompt
    from reasoning_gym.utils import SYSTEM_PROMPTS

    return str(SYSTEM_PROMPTS["DeepSeekZero"])


def turn_end(tokenizer: TextTokenizer) -> int | None:
    """The special token with which the chat template closes the assistant's turn; None without one.

    A base model's tokenizer may have a chat template and yet name another token as its end of sequence.
    """
    if not tokenizer.chat_template:
        return None
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _SPOKEN}]
    try:
        text = str(tokenizer.apply_chat_template(messages, tokenize=False))
    except TemplateError:
        return None
    _, spoken, rest = text.rpartition(_SPOKEN)
    ids = tokenizer.encode(rest.strip(), add_special_tokens=False) if spoken else []
    return ids[0] if ids and ids[0] in tokenizer.all_special_ids else None
