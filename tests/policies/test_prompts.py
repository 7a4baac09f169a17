import pytest
from models_for_tests import CHAT_TEMPLATE as CHAT
from reasoning_gym.utils import SYSTEM_PROMPTS
from tokenizers.processors import TemplateProcessing

from swarm_ray.config.schema import PolicyConfig
from swarm_ray.policies.prompts import (
    Turn,
    plain_prompt,
    prompt_format,
    system_prompt_of,
    tiny_prompt,
    turn_end,
)

NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHAT
DEAF = "{% for m in messages %}{% if m['role'] != 'system' %}<|im_start|>{{ m['content'] }}{% endif %}{% endfor %}"
JUDGED = "<|im_start|>system\nJudge.<|im_end|>\n<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (CHAT, JUDGED),
        (NO_SYSTEM, "<|im_start|>user\nJudge.\n\n2+2?<|im_end|>\n<|im_start|>assistant\n"),
        (DEAF, "<|im_start|>Judge.\n\n2+2?"),
        (None, "Judge.\n\nQuestion: 2+2?\nAnswer:"),
    ],
)
def test_the_template_makes_the_prompt_and_a_turn_its_own_system_prompt(tokenizer, template, expected):
    tokenizer.chat_template = template
    prompt = prompt_format(tokenizer, "Be brief.")
    assert tokenizer.decode(prompt(Turn("Judge.", "2+2?"))) == expected
    assert tokenizer.decode(prompt("2+2?")) == expected.replace("Judge.", "Be brief.")
    without = prompt_format(tokenizer, "")("2+2?")
    assert prompt(Turn("", "2+2?")) == without
    assert not {"Judge.", "system"} & set(tokenizer.decode(without).split())
    assert tokenizer.decode(without).endswith(expected[-4:])


def test_the_embedded_models_prompt_leaves_a_turns_system_prompt_out(tokenizer):
    assert tiny_prompt(tokenizer, Turn("Judge.", "2+2?")) == tiny_prompt(tokenizer, "2+2?")


def test_a_plain_prompt_begins_as_the_tokenizer_does_and_never_ends(tokenizer):
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A <|endoftext|>", special_tokens=[("<|im_start|>", 1), ("<|endoftext|>", 3)]
    )
    ids = plain_prompt(tokenizer, "", "2+2?")
    assert tokenizer.decode(ids) == "<|im_start|>Question: 2+2?\nAnswer:"


def test_the_turns_end_is_the_templates(tokenizer):
    for template, end in ((None, None), (CHAT, 2), (DEAF, None), ("{{ raise_exception('no') }}", None)):
        tokenizer.chat_template = template
        assert turn_end(tokenizer) == end


def test_tagged_answers_have_a_system_prompt():
    ours, mine = PolicyConfig(), PolicyConfig(system_prompt="Mine.")
    assert system_prompt_of(ours, "whole") == ""
    assert system_prompt_of(ours, "tagged") == SYSTEM_PROMPTS["DeepSeekZero"]
    assert {system_prompt_of(mine, answer) for answer in ("whole", "tagged")} == {"Mine."}
