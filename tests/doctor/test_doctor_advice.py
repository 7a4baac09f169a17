"""Settings follow from what was measured, and the configuration takes them."""

import pytest

from drive_store.doctor.report import is_slow, percentile, seconds, settings, size_text
from swarm_ray.config.load import load_config


@pytest.mark.parametrize("samples", [2, 99, 100, 1000])
@pytest.mark.parametrize("p99_s", [0.001, 1.0, 2.5, 30.0, 119.5, 150.0, 300.0, 2400.0])
@pytest.mark.parametrize("slow", [True, False])
def test_settings_bear_what_was_measured_and_are_never_below_the_defaults(
    samples: int, p99_s: float, slow: bool
) -> None:
    preset = "colab" if slow else "tiny"
    found = settings(p99_s / 2, p99_s, samples, slow=slow)
    default = load_config(preset).pace
    config = load_config(preset, overrides=[f"pace.{key}={value}" for key, value in found.items()])
    assert config.pace.settle_s >= max(p99_s, default.settle_s)
    assert config.pace.retry_s >= max(3 * p99_s, default.retry_s)
    assert config.pace.dead_after_s >= max(3 * p99_s, default.dead_after_s)
    assert default.poll_min_s <= config.pace.poll_max_s <= default.poll_max_s
    few = settings(p99_s / 2, p99_s, 10, slow=slow)
    assert all(few[key] >= found[key] for key in ("settle_s", "retry_s", "dead_after_s"))


def test_what_was_not_measured_has_the_defaults() -> None:
    for preset, slow in (("colab", True), ("tiny", False)):
        default = load_config(preset).pace
        found = settings(None, None, 0, slow=slow)
        assert found.pop("settle_s") == (120 if slow else default.settle_s)
        assert found == {key: getattr(default, key) for key in found}


def test_slow_is_what_was_slow_or_may_be() -> None:
    for own_disk in (False, True):
        assert is_slow(2.1, drive=False, own_disk=own_disk)
        assert is_slow(None, drive=False, own_disk=own_disk) is not own_disk
        assert all(is_slow(p99_s, drive=True, own_disk=own_disk) for p99_s in (None, 0.1))
    assert not is_slow(0.1, drive=False, own_disk=False)


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.5, 0.9, 0.99, 1.0)] == [50, 90, 99, 100]
    assert percentile([7.0], 0.99) == percentile([7.0], 0.01) == 7


def test_numbers_for_people() -> None:
    assert [seconds(s) for s in (0.0004, 0.035, 2.0, 2.54, 95, 720)] == [
        "under 1 ms", "35 ms", "2 s", "2.5 s", "95 s", "12 min",
    ]  # fmt: skip
    assert [size_text(n) for n in (512, 94_000, 12_300_000_000)] == ["512 B", "94.0 kB", "12.3 GB"]
