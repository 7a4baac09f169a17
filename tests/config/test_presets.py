"""The presets say what they promise, in terms that the installed reasoning-gym knows."""

import pytest
import reasoning_gym

from swarm_ray.config.load import load_config, presets


@pytest.mark.parametrize("preset", presets())
def test_reasoning_gym_makes_every_specialty(preset: str) -> None:
    tasks = load_config(preset).tasks
    for specialty in tasks.specialties:
        dataset = reasoning_gym.create_dataset(
            specialty.task or specialty.name, seed=tasks.seed, size=tasks.pool, **specialty.options
        )
        assert len(dataset) == tasks.pool
        assert dataset[tasks.pool - 1]["question"]


def test_tiny() -> None:
    config = load_config("tiny")
    assert (config.policy.start, config.local, config.external, config.completions) == ("C5", 4, 4, 8)
    assert (config.rounds, config.pace.strategy, config.pace.max_s) == (100, "completion", 60)


def test_paper() -> None:
    config = load_config("paper")
    names = "base_conversion basic_arithmetic arc_1d bf propositional_logic fraction_simplification"
    assert [s.name for s in config.tasks.specialties] == [
        *names.split(), "decimal_arithmetic", "calendar_arithmetic", "binary_matrix",
    ]  # fmt: skip
    assert all(s.weight == 1 and not s.options for s in config.tasks.specialties)
    assert (config.nodes, config.rounds, config.pace.expect) == (8, 2000, 8)
    assert (config.local, config.external, config.completions, config.selection) == (4, 4, 8, "uniform")
    grpo = config.grpo
    assert (grpo.learning_rate, grpo.beta1, grpo.beta2, grpo.adam_epsilon) == (1e-3, 0.9, 0.999, 1e-8)
    assert (grpo.clip_low, grpo.clip_high, grpo.max_grad_norm) == (0.2, 0.28, None)
    assert (config.policy.model, config.tasks.answer) == ("Qwen/Qwen2.5-0.5B-Instruct", "tagged")


def test_colab() -> None:
    config, paper = load_config("colab"), load_config("paper")
    assert config.tasks.specialties == paper.tasks.specialties
    assert config.grpo.learning_rate == 1e-6
    pace = config.pace
    assert (pace.strategy, pace.min_s, pace.share, pace.max_s) == ("hybrid", 120, 0.5, 600)
    assert (pace.beat_s, pace.dead_after_s, pace.poll_min_s, pace.poll_max_s) == (60, 600, 2, 30)
    assert (pace.mode, pace.staleness, pace.retry_s, pace.alone_after_s) == ("async", 4, 600, 1800)
    assert pace.alone_after_s > pace.dead_after_s
    assert (config.checkpoint.keep, config.checkpoint.keep_best, config.retention.rounds) == (1, 0, 200)
    assert (pace.drain_s, config.log.segment_s) == (1800, 300)
