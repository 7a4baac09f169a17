"""A root is that of the command's folder, wherever the Ray that is used was started."""

from __future__ import annotations

from pathlib import Path

import pytest
from swarm_for_tests import small_config

from swarm_ray import Swarm


@pytest.mark.ray
def test_a_relative_root_is_where_the_driver_is(
    ray_session: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Swarm(small_config(rounds=1), "here", "near", show=False).start().wait()
    assert (run.exit_code, run.message) == (0, "near is done")
    assert (tmp_path / "here" / "experiments" / "near" / "experiment.json").is_file()
