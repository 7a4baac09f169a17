"""Configurations as YAML and as hashes, and how two differ."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm_ray.config.diff import LOCAL_FIELDS, laid_over
from swarm_ray.config.load import (
    canonical_json,
    config_hash,
    differences,
    extend_config,
    load_config,
    parse_stored,
    presets,
    read_overrides,
    render_yaml,
    to_json,
    value_of,
)
from swarm_ray.config.schema import (
    GrpoConfig,
    PolicyConfig,
    SpecialtyConfig,
    SwarmConfig,
    TasksConfig,
    dotted_keys,
)
from swarm_ray.config.secrets import refuse_secrets
from swarm_ray.errors import ConfigError

LOCAL_VALUES = [
    "nodes=3", "trainers=2", "slow_down_s=0.5", "resume=weights", "exchange=hivemind", "preset=tiny",
    "policy.device=cuda:1", "policy.dtype=bfloat16", "policy.packing=off", "policy.micro_batch_tokens=64",
    "policy.generate_batch=4", "checkpoint.every=5", "checkpoint.keep=9", "checkpoint.keep_best=3",
    "checkpoint.store_every_s=1.5", "checkpoint.store_bytes=10", "retention.spool_bytes=77",
    "supervision.restarts=1", "supervision.data_failures=9", "tracking.wandb=offline",
    "tracking.wandb_project=ours", "tracking.tensorboard=true", "tracking.prometheus=true",
    "hub.repository=me/mine", "hub.every=7", "hub.private=false", "direct.listen=127.0.0.1",
    "direct.port=4001", "direct.announce=[/ip4/203.0.113.7/tcp/4001]", "direct.bootnodes=[/ip4/1.2.3.4]",
    "direct.relay=true", "direct.start_s=9.0", "direct.value_s=9.0",
]  # fmt: skip
TRICKY = ["off", "1e-3", "no", "1:30", "010", "~", "null", "2024-01-01", "<<", "=", "#x"]

words = st.text(st.characters(codec="utf-8") | st.sampled_from("\n\r\x85\u2028 \t'\"#:-"), max_size=30)
tricky = st.sampled_from([*TRICKY, " a\n  b\n\n", "a\x85b\u2028c"])
numbers = st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none() | st.booleans() | numbers | words | tricky,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | tricky, inner, max_size=3),
    max_leaves=8,
)


def not_secret(value: object) -> bool:
    try:
        refuse_secrets(value)
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize("preset", presets())
def test_a_preset_renders_and_loads_back(preset: str) -> None:
    config = load_config(preset)
    text = render_yaml(config)
    assert parse_stored(text.encode()) == config
    assert max(map(len, text.splitlines())) <= 100
    assert yaml.safe_load(text)["rounds"] == config.rounds


def test_every_key_has_its_meaning_above_it() -> None:
    lines = render_yaml(SwarmConfig()).splitlines()
    for dotted in dotted_keys(SwarmConfig):
        section, _, name = dotted.rpartition(".")
        place = lines.index(f"{section}:") if section else -1
        indent = "  " if section else ""
        at = next(i for i in range(place + 1, len(lines)) if lines[i].startswith(f"{indent}{name}:"))
        assert lines[at - 1].startswith(f"{indent}# "), dotted


@settings(deadline=None, derandomize=True, database=None, max_examples=150)
@given(
    options=st.dictionaries(words | tricky, plain, max_size=4).filter(not_secret),
    prompt=(words | tricky).filter(not_secret),
    rate=st.floats(min_value=1e-300, max_value=1e300),
)
def test_whatever_stands_in_it_loads_back(options: dict[str, Any], prompt: str, rate: float) -> None:
    config = SwarmConfig(
        tasks=TasksConfig(specialties=(SpecialtyConfig(name="a", options=options),)),
        policy=PolicyConfig(system_prompt=prompt),
        grpo=GrpoConfig(learning_rate=rate),
    )
    again = parse_stored(render_yaml(config).encode())
    assert again == config
    assert canonical_json(again) == canonical_json(config)
    assert SwarmConfig(**json.loads(json.dumps(to_json(config)))) == config


def test_tuples_in_options_become_lists() -> None:
    config = SwarmConfig(tasks=TasksConfig(specialties=(SpecialtyConfig(name="a", options={"x": (1, 2)}),)))
    assert parse_stored(render_yaml(config).encode()) == config


def test_the_same_options_twice_make_no_alias() -> None:
    shared = {"x": [1, 2]}
    pair = tuple(SpecialtyConfig.model_construct(name=n, options=shared) for n in "ab")
    config = SwarmConfig(tasks=TasksConfig.model_construct(**{**dict(TasksConfig()), "specialties": pair}))
    again = parse_stored(render_yaml(config).encode())
    assert [s.options for s in again.tasks.specialties] == [shared, shared]


def test_a_configuration_too_large_to_be_read_is_not_written() -> None:
    config = SwarmConfig(policy=PolicyConfig(system_prompt="é " * 100_000))
    with pytest.raises(ConfigError, match="larger than 256 KiB"):
        render_yaml(config)


def test_local_fields_do_not_change_the_hash() -> None:
    config, local = load_config("paper"), read_overrides(LOCAL_VALUES)
    keys = [item.partition("=")[0] for item in LOCAL_VALUES]
    assert set(keys) == LOCAL_FIELDS
    assert [key for key in keys if value_of(local, key) == value_of(to_json(config), key)] == []
    other = SwarmConfig(**laid_over(to_json(config), local))
    assert other != config
    assert config_hash(other) == config_hash(config)
    assert differences(other, config) == []


OF_ALL = [
    "seed=1", "rounds=101", "grpo.learning_rate=1e-4", "pace.max_s=61", "log.segment_s=61",
    "tasks.modules=[mine]", "tasks.specialties=[lcm]", "evaluation.samples=3",
]  # fmt: skip


@pytest.mark.parametrize("override", OF_ALL)
def test_everything_else_changes_it(override: str) -> None:
    config, other = SwarmConfig(), load_config(overrides=[override])
    assert config_hash(other) != config_hash(config)
    (line,) = differences(other, config)
    assert line.startswith(override.partition("=")[0] + ": ")


def test_the_hash_is_of_the_canonical_json() -> None:
    hashed = config_hash(SwarmConfig())
    assert len(hashed) == 12
    assert int(hashed, 16) >= 0
    assert config_hash(load_config("tiny")) == hashed
    assert canonical_json(SwarmConfig()).startswith(b'{"alarm_rounds":20,"completions":8,')
    assert config_hash(load_config(overrides=["grpo.learning_rate=0.001", "pace.max_s=60.0"])) == hashed


def test_what_defines_an_experiment_is_fixed_and_the_rest_may_change() -> None:
    config = SwarmConfig()
    for override in ("rounds=200", "grpo.learning_rate=1e-4", "pace.max_s=61", "evaluation.samples=3"):
        other = load_config(overrides=[override])
        assert differences(other, config, fixed_only=True) == []
        assert config_hash(extend_config(config, [override])) == config_hash(other) != config_hash(config)
    for override in (
        "seed=1",
        "local=8",
        "policy.start=C0",
        "tasks.pool=5",
        "completions=4",
        "grpo.beta1=0.8",
    ):
        with pytest.raises(ConfigError, match=f"^{override.partition('=')[0]}: .*fixed.*--overwrite"):
            extend_config(config, [override])


def test_differences_are_named_with_both_values() -> None:
    one, other = SwarmConfig(), load_config(overrides=["grpo.learning_rate=1e-4", "tasks.pool=5"])
    expected = ["tasks.pool: 3000 here, 5 there", "grpo.learning_rate: 0.001 here, 0.0001 there"]
    assert differences(one, other) == expected


def test_differences_within_specialties() -> None:
    one = load_config(overrides=["tasks.specialties=[a, {name: b, options: {x: 1}}]"])
    other = load_config(overrides=["tasks.specialties=[a, {name: b, options: {x: 2, y: 3}}]"])
    more = load_config(overrides=["tasks.specialties=[a, b, c]"])
    assert differences(one, other) == [
        "tasks.specialties[1].options.x: 1 here, 2 there",
        "tasks.specialties[1].options.y: nothing here, 3 there",
    ]
    assert differences(one, more) == ["tasks.specialties: 2 (a, b) here, 3 (a, b, c) there"]


def test_long_texts_are_shown_where_they_part() -> None:
    prompts = [PolicyConfig(system_prompt="x" * 500 + end) for end in ("left", "right")]
    (line,) = differences(*(SwarmConfig(policy=prompt) for prompt in prompts))
    assert "left' here" in line
    assert "right' there" in line
    assert len(line) < 200
