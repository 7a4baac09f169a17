"""What of a completion is scored, and the prompt that asks for it."""

from __future__ import annotations

from typing import Literal

OPEN, CLOSE = "<answer>", "</answer>"


def extract(text: str, mode: Literal["whole", "tagged"]) -> str:
    """The answer in a completion.

    Args:
        text: A decoded completion.
        mode: `whole` takes all of it; `tagged` what stands between the last `<answer>` and `</answer>`, as
            `reasoning_gym.utils.extract_answer` does, and nothing ("") where there is no such pair.

    Returns:
        The answer without surrounding white space, encodable as UTF-8 (lone surrogates become `?`).
    """
    answer = text if mode == "whole" else _last_tagged(text)
    answer = answer.strip()
    return answer if answer.isascii() else answer.encode("utf-8", "replace").decode("utf-8")


def _last_tagged(text: str) -> str:
    """The last tagged part, in one pass.

    The library's lazy regular expression takes quadratic time on text with many opening tags and no closing
    one, and the text may come from a stranger.
    """
    last, position = "", 0
    while (start := text.find(OPEN, position)) >= 0:
        end = text.find(CLOSE, start + len(OPEN))
        if end < 0:
            break
        last, position = text[start + len(OPEN) : end], end + len(CLOSE)
    return last


def default_system_prompt() -> str:
    """reasoning-gym's own `DeepSeekZero` system prompt, which asks for `<answer>` tags."""
    from reasoning_gym.utils import SYSTEM_PROMPTS

    return str(SYSTEM_PROMPTS["DeepSeekZero"])
