"""Secrets are refused wherever they stand, and never shown. All tokens here are made up."""

from pathlib import Path

import pytest

from swarm_ray.config.load import join_config, load_config, parse_stored, render_yaml
from swarm_ray.config.schema import PolicyConfig, SwarmConfig
from swarm_ray.errors import ConfigError

LETTERS = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6"
HEX = "0123456789abcdef0123456789abcdef01234567"
SORTS = ("hf_", "sk-", "sk-ant-api03-", "ghp_")
TOKENS = (*(sort + LETTERS for sort in SORTS), "AKIA" + "ABCDEFGH23456789", HEX)


def refused(*overrides: str, file: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(file=file, overrides=overrides)
    return str(caught.value)


@pytest.mark.parametrize("token", TOKENS)
def test_values_that_look_like_tokens(token: str) -> None:
    for override, key in [
        (f"policy.model={token}", "policy.model"),
        (f"policy.system_prompt=use {token} here", "policy.system_prompt"),
        (f"tasks.specialties=[{{name: lcm, options: {{a: [1, {{b: '{token}'}}]}}}}]", "options.a[1].b"),
        (f"tasks.specialties=[{{name: lcm, options: {{{token}: 1}}}}]", "tasks.specialties[0].options"),
        (f"rounds={token}", "rounds"),
        (f"no.such.key={token}", "no.such.key"),
    ]:
        text = refused(override)
        assert key in text
        assert "looks like a secret" in text
        assert token not in text


@pytest.mark.parametrize(
    "key", ["hf_token", "WANDB_API_KEY", "my-secret", "db_password", "apikey", "accessToken"]
)
def test_keys_under_which_people_keep_secrets(key: str) -> None:
    for override in (f"{key}=hunter2", f"policy.{key}=hunter2", f"{key}.x=hunter2"):
        text = refused(override)
        assert key in text
        assert "looks like a secret" in text
        assert "hunter2" not in text
    assert "hunter2" not in refused(f"tasks.specialties=[{{name: lcm, options: {{{key}: hunter2}}}}]")


@pytest.mark.parametrize(
    "url",
    ["https://ann:hunter2@host/model", "s3://:hunter2@bucket/m", "https://host/m?auth_token=hunter2&x=1"],
)
def test_urls_with_a_password(url: str) -> None:
    text = refused(f"policy.model={url}")
    assert text.startswith("policy.model: this looks like a secret")
    assert "hunter2" not in text


def test_malformed_overrides_and_files_do_not_show_them(tmp_path: Path) -> None:
    assert TOKENS[0] not in refused(TOKENS[0])
    assert "hunter2" not in refused("password hunter2")
    assert TOKENS[0] not in refused(f"tasks.modules=[{TOKENS[0]}")
    file = tmp_path / "mine.yaml"
    file.write_text(f"rounds: 3\nx: *{TOKENS[0]}\n")
    assert TOKENS[0] not in refused(file=file)
    file.write_text(f"policy:\n  model: {TOKENS[3]}\n")
    text = refused(file=file)
    assert text.startswith(f"{file}: policy.model: this looks like a secret")
    assert TOKENS[3] not in text


def test_nothing_is_stored_or_joined_with_a_secret() -> None:
    config = SwarmConfig(policy=PolicyConfig(system_prompt=TOKENS[0]))
    with pytest.raises(ConfigError, match=r"policy\.system_prompt") as caught:
        render_yaml(config)
    assert TOKENS[0] not in str(caught.value)
    with pytest.raises(ConfigError, match=r"policy\.device"):
        join_config(SwarmConfig(), [f"policy.device={TOKENS[0]}"])
    with pytest.raises(ConfigError, match=r"^c\.yaml: policy\.model"):
        parse_stored(f"policy: {{model: {TOKENS[0]}}}".encode(), "c.yaml")


@pytest.mark.parametrize(
    "override",
    [
        "policy.max_new_tokens=64",
        "policy.micro_batch_tokens=64",
        "policy.model=hf-internal-testing/tiny-random-gpt2",
        f"policy.model=/models/snapshots/{HEX}",
        f"policy.model=org/model@{HEX}",
        "policy.model=https://host:8000/model",
        "policy.model=org/task-one-two-three-four-five",
        "policy.system_prompt=Count the tokens; the password is not part of it.",
    ],
)
def test_what_only_sounds_like_a_secret_is_allowed(override: str) -> None:
    key, _, value = override.partition("=")
    config = load_config(overrides=[override])
    assert str(getattr(config.policy, key.partition(".")[2])) == value
    assert parse_stored(render_yaml(config).encode()) == config
