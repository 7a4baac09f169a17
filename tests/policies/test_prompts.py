from __future__ import annotations

import pytest
from reasoning_gym.utils import SYSTEM_PROMPTS

from swarm_ray.config.schema import PolicyConfig
from swarm_ray.policies.prompts import (
    ChatPrompt,
    Turn,
    plain_prompt,
    prompt_format,
    system_prompt_of,
    tiny_prompt,
    turn_end,
)

CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    + CHAT
)
DEAF = (
    "{% for m in messages %}{% if m['role'] != 'system' %}<|im_start|>{{ m['content'] }}"
    "{% endif %}{% endfor %}"
)


def test_a_chat_template_makes_the_prompt(tokenizer):
    tokenizer.chat_template = CHAT
    ids = prompt_format(tokenizer, "Be brief.")("2+2?")
    assert tokenizer.decode(ids) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert ids[0] == 1
    plain = prompt_format(tokenizer, "")("2+2?")
    assert tokenizer.decode(plain) == "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("template", [NO_SYSTEM, DEAF])
def test_a_template_without_system_messages_still_says_it(tokenizer, template):
    tokenizer.chat_template = template
    text = tokenizer.decode(ChatPrompt(tokenizer, "Be brief.")("2+2?"))
    assert "Be brief.\n\n2+2?" in text
    assert "system" not in text


def test_without_a_template_the_prompt_is_plain_text(tokenizer):
    assert tokenizer.decode(prompt_format(tokenizer, "")("2+2?")) == "Question: 2+2?\nAnswer:"
    ids = prompt_format(tokenizer, "Be brief.")("2+2?")
    assert tokenizer.decode(ids) == "Be brief.\n\nQuestion: 2+2?\nAnswer:"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (
            CHAT,
            "<|im_start|>system\nJudge.<|im_end|>\n<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n",
        ),
        (NO_SYSTEM, "<|im_start|>user\nJudge.\n\n2+2?<|im_end|>\n<|im_start|>assistant\n"),
        (DEAF, "<|im_start|>Judge.\n\n2+2?"),
        (None, "Judge.\n\nQuestion: 2+2?\nAnswer:"),
    ],
)
def test_a_turn_has_a_system_prompt_of_its_own(tokenizer, template, expected):
    tokenizer.chat_template = template
    prompt = prompt_format(tokenizer, "Be brief.")
    assert tokenizer.decode(prompt(Turn("Judge.", "2+2?"))) == expected
    assert prompt(Turn("Be brief.", "2+2?")) == prompt("2+2?")
    assert prompt(Turn("", "2+2?")) == prompt_format(tokenizer, "")("2+2?")


def test_the_embedded_models_prompt_leaves_a_turns_system_prompt_out(tokenizer):
    assert tiny_prompt(tokenizer, Turn("Judge.", "2+2?")) == tiny_prompt(tokenizer, "2+2?")


def test_a_plain_prompt_begins_as_the_tokenizer_does_and_never_ends(tokenizer):
    from tokenizers.processors import TemplateProcessing

    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A <|endoftext|>", special_tokens=[("<|im_start|>", 1), ("<|endoftext|>", 3)]
    )
    ids = plain_prompt(tokenizer, "", "2+2?")
    assert tokenizer.decode(ids) == "<|im_start|>Question: 2+2?\nAnswer:"


def test_the_turns_end_is_the_templates(tokenizer):
    assert turn_end(tokenizer) is None
    tokenizer.chat_template = CHAT
    assert turn_end(tokenizer) == 2
    tokenizer.chat_template = DEAF
    assert turn_end(tokenizer) is None
    tokenizer.chat_template = "{{ raise_exception('no') }}"
    assert turn_end(tokenizer) is None


@pytest.mark.parametrize(
    ("policy", "answer", "expected"),
    [
        ("", "whole", ""),
        ("", "tagged", SYSTEM_PROMPTS["DeepSeekZero"]),
        ("Mine.", "tagged", "Mine."),
        ("Mine.", "whole", "Mine."),
    ],
)
def test_tagged_answers_have_a_system_prompt(policy, answer, expected):
    assert system_prompt_of(PolicyConfig(system_prompt=policy), answer) == expected
