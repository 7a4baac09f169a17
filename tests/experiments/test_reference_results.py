"""The text that compares a figure with the spread of other seeds."""

from __future__ import annotations

from swarm_ray.config.load import load_config
from swarm_ray.observe.reference_results import Setting, seed_results_text

SPREAD = {Setting("tiny", "C5", 8, 100, 4, 4, 8): (200.0, 214.0, 240.0)}


def test_the_spread_of_the_very_setting_is_told_with_the_seed() -> None:
    text = seed_results_text(load_config(overrides=["seed=3"]), SPREAD)
    assert text == "seed 3; 3 seeds of this setting gave a cumulative reward of 200.0 to 240.0 (mean 218.0)"


def test_another_setting_has_no_known_spread() -> None:
    for change in ("rounds=50", "completions=4", "local=5", "policy.start=C0", "policy.model=some/model"):
        text = seed_results_text(load_config(overrides=[change]), SPREAD)
        assert text == "seed 0; how far other seeds differ was not measured for this setting"
