"""The layers of a configuration, and the one line that every mistake gets."""

import subprocess
import sys
from pathlib import Path

import pytest

from swarm_ray.config.load import join_config, load_config, parse_stored, presets
from swarm_ray.config.schema import GrpoConfig, SwarmConfig
from swarm_ray.errors import ConfigError


def message(preset: str | None = None, file: Path | None = None, overrides: object = ()) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(preset, file, overrides)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "\n" not in text
    assert "pydantic" not in text
    return text


def test_tiny_is_the_defaults() -> None:
    assert load_config() == load_config("tiny") == SwarmConfig()


def test_each_layer_lies_over_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("rounds: 7\ngrpo:\n  clip_low: 0.1\n  clip_high: 0.3\npace:\n  # nothing said here\n")
    config = load_config("paper", file, ["grpo.clip_low=0.15"])
    assert (config.rounds, config.grpo.clip_low, config.grpo.clip_high) == (7, 0.15, 0.3)
    assert config.pace == load_config("paper").pace
    assert (config.nodes, config.preset) == (8, "paper")


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 0.001), ("1E-4", 0.0001), ("2.5e-05", 2.5e-05), (".5", 0.5), ("1", 1.0)]
)
def test_numbers_as_people_write_them(tmp_path: Path, text: str, value: float) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"tasks: {{specialties: [{{name: lcm, options: {{x: {text}}}}}]}}")
    from_file = load_config(file=file).tasks.specialties[0].options["x"]
    assert from_file == value
    assert not isinstance(from_file, str)
    assert load_config(overrides=[f"grpo.learning_rate={text}"]).grpo.learning_rate == value


def test_override_values() -> None:
    config = load_config(
        overrides=[
            "grpo.max_grad_norm=null",
            "policy.packing=off",
            "policy.system_prompt=Answer: only a number # please",
            "tasks.specialties=[lcm, {name: sums, task: chain_sum, options: {min_terms: 2, deep: true}}]",
            "tasks.modules=['my.tasks']",
            "policy.device=cuda:1",
            "rounds=1_000",
        ]
    )
    assert config.grpo.max_grad_norm is None
    assert config.policy.packing == "off"
    assert config.policy.system_prompt == "Answer: only a number # please"
    assert [s.name for s in config.tasks.specialties] == ["lcm", "sums"]
    assert config.tasks.specialties[1].options == {"min_terms": 2, "deep": True}
    assert config.tasks.modules == ("my.tasks",)
    assert config.policy.device == "cuda:1"
    assert config.rounds == 1000
    assert load_config(overrides=["policy.system_prompt="]).policy.system_prompt == ""


def test_overrides_as_a_mapping() -> None:
    dotted = load_config(overrides={"grpo.learning_rate": 1e-4, "rounds": 3})
    nested = load_config(overrides={"grpo": {"learning_rate": 1e-4}, "rounds": 3})
    section = load_config(overrides={"grpo": GrpoConfig(learning_rate=1e-4), "rounds": 3})
    assert dotted == nested == section == load_config(overrides=["grpo.learning_rate=1e-4", "rounds=3"])
    assert load_config(overrides="rounds=3").rounds == 3


def test_the_preset_may_stand_in_the_file_or_an_override(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("preset: paper\nrounds: 3\n")
    assert load_config(file=file) == load_config("paper", overrides=["rounds=3"])
    assert load_config(overrides=["preset=colab"]) == load_config("colab")
    assert "names tiny" in message("tiny", file)


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("grpo.lerning_rate=1", ["grpo.lerning_rate", "did you mean learning_rate?", "beta1", "clip_high"]),
        ("learning_rate=1", ["learning_rate", "did you mean grpo.learning_rate?", "rounds"]),
        ("grop.clip_low=1", ["grop", "did you mean grpo?"]),
        ("grpo.learning_rate=-1", ["grpo.learning_rate", "-1", "greater than 0"]),
        ("grpo.learning_rate=fast", ["grpo.learning_rate", "'fast'", "a valid number"]),
        ("grpo.learning_rate=.inf", ["grpo.learning_rate", "inf", "a finite number"]),
        ("grpo=3", ["grpo", "3", "a mapping of learning_rate"]),
        ("nodes=true", ["nodes", "true", "neither a number"]),
        ("nodes=2.5", ["nodes", "2.5", "a valid integer"]),
        ("trainers=0", ["trainers", "0", "greater than 0 or 'auto'"]),
        ("policy.start=C9", ["policy.start", "'C9'", "'C0', 'C1', 'C5'"]),
        ("tasks.specialties=hard", ["tasks.specialties", "'hard'", "easy, paper"]),
        ("tasks.specialties=[lcm, LCM]", ["tasks.specialties[1].name", "'LCM'", "[a-z0-9]"]),
        ("tasks.specialties=[{nam: lcm}]", ["tasks.specialties[0].name", "missing", "(and 1 more)"]),
        ("tasks.specialties=[lcm, 3]", ["tasks.specialties[1]", "3", "a mapping of name, task"]),
        ("tasks.specialties=[lcm, lcm]", ["different names"]),
        ("tasks.specialties=[{name: a, options: {x: .nan}}]", ["tasks.specialties[0].options", "JSON"]),
        ("tasks.modules=mine", ["tasks.modules", "'mine'", "a list"]),
        ("tasks.modules=[1]", ["tasks.modules[0]", "1", "a valid string"]),
        ("tasks.specialties=[lcm", ["override tasks.specialties, line 1"]),
        ("tasks.specialties.0.weight=2", ["tasks.specialties", "a list"]),
        ("rounds", ["invalid override 'rounds'", "key=value"]),
        ("=3", ["invalid override", "key=value"]),
        ("a b=3", ["invalid override"]),
        ("preset=papr", ["'papr'", "did you mean paper?", "colab, paper, tiny"]),
        ("rounds=" + "9" * 5000, ["rounds", "integer"]),
    ],
)
def test_one_line_for_each_mistake(override: str, parts: list[str]) -> None:
    text = message(overrides=[override])
    for part in parts:
        assert part in text
    assert len(text) < 500


def test_impossible_combinations_keep_the_validators_own_text() -> None:
    assert message(overrides=["pace.min_s=90"]) == "pace.min_s (90) is above pace.max_s (60)"
    assert message(overrides=["pace.beat_s=20"]).startswith("pace.dead_after_s (20) is less than")
    text = message(overrides=["nodes=2", "trainers=3"])
    assert text == "trainers (3) is above nodes (2); each needs a node"
    assert message(overrides=["nodes=1"]).startswith("external rollouts need a second node")


def test_of_several_mistakes_the_first_and_their_number() -> None:
    text = message(overrides=["rounds=0", "local=0", "grpo.beta1=2"])
    assert text.startswith("rounds: 0 ")
    assert text.endswith("(and 2 more)")


def test_unknown_preset() -> None:
    assert "there are colab, paper, tiny" in message("pape")
    assert presets() == ("colab", "paper", "tiny")
    assert "there are" in message("../presets/tiny")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"rounds: 3\ngrpo: [1\n", "line 3"),
        (b"rounds: 3\nlocal: 1\nrounds: 4\n", "line 3: the key rounds is given twice"),
        (b"rounds: 3\n\tlocal: 1\n", "line 2"),
        (b"- rounds\n", "a mapping of keys"),
        (b"rounds: 3\nx: \xff\n", "line 2: not valid UTF-8"),
        (b"rounds: 3\nx: \x01\n", "line 2: a character"),
        (b"3: 4\n", "the key 3 is not text"),
        (b"a: &x 1\nb: *x\n", "line 1: anchors, aliases and tags"),
        (b"rounds: 3\nseed: !!python/name:os.system\n", "line 2: anchors, aliases and tags"),
        (b"rounds: none\n", "rounds: 'none' is not possible"),
        (b"rounds: 3\n---\nrounds: 4\n", "line 2: but found another document"),
    ],
)
def test_mistakes_in_a_file_name_it(tmp_path: Path, content: bytes, part: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    text = message(file=file)
    assert text.startswith(str(file))
    assert part in text


def test_only_what_is_wrong_with_a_file_is_blamed_on_it(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    assert str(file) in message(file=file)
    assert "cannot be read" in message(file=tmp_path)
    file.write_text("rounds: 3\n")
    assert message(file=file, overrides=["rounds=x"]).startswith("rounds: 'x'")


def test_stored_configuration_of_a_stranger() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(9))
    cases = {
        bomb.encode(): "anchors, aliases",
        b"rounds: 3 #" + b"x" * (256 * 1024): "larger than 256 KiB",
        b"[" * 100_000: "nested deeper than 32",
        b"tasks: " + b"{a: " * 40 + b"}" * 40: "nested deeper than 32",
        b"tasks: {specialties: " + b"x" * 9000 + b"}": "no set of specialties",
        b"rounds: 0": "rounds: 0 is not possible",
        b"nodes: 1": "external rollouts need",
        b'preset: "x\\e[31m"': "preset",
        b"? [1, 2]\n: 3": "line 1",
        b"policy: {model: 'https://u:pw@host/m'}": "policy.model: this looks like a secret",
    }
    for data, part in cases.items():
        with pytest.raises(ConfigError) as caught:
            parse_stored(data, "config-0123.yaml")
        text = str(caught.value)
        assert text.startswith("config-0123.yaml")
        assert part in text
        assert len(text) < 600
        assert not {"\n", "\x1b"} & set(text)


def test_joining_changes_what_is_the_workers_own() -> None:
    stored = load_config("paper")
    joined = join_config(stored, ["nodes=1", "policy.device=cuda:1", "grpo.learning_rate=0.001"])
    assert (joined.nodes, joined.policy.device) == (1, "cuda:1")
    assert joined.model_copy(update={"nodes": 8, "policy": stored.policy}) == stored
    assert join_config(SwarmConfig(), ["nodes=1"]).nodes == 1


def test_joining_refuses_what_holds_for_the_swarm() -> None:
    with pytest.raises(ConfigError) as caught:
        join_config(SwarmConfig(), ["grpo.learning_rate=1e-4", "local=2", "nodes=2"])
    text = str(caught.value)
    assert text.startswith("local: 2 here, 4 there (and 1 more)")
    assert "leave the override out, or make another experiment" in text
    with pytest.raises(ConfigError, match=r"preset: 'paper' here, 'tiny' there"):
        join_config(SwarmConfig(), ["preset=paper"])


def test_neither_torch_nor_ray_nor_reasoning_gym_is_imported() -> None:
    code = (
        "import sys; from swarm_ray.config.load import *; c = load_config('paper', overrides=['rounds=3']);"
        "join_config(parse_stored(render_yaml(c).encode()), ['nodes=1']);"
        "print([m for m in ('torch', 'ray', 'transformers', 'reasoning_gym') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
