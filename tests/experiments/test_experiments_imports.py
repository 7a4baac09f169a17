"""What reads a folder loads neither torch nor Ray, nor anything else that takes long."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "ray", "transformers", "matplotlib", "reasoning_gym", "scipy", "pandas", "pyarrow")
MODULES = ("experiments", "observe.status_tables", "observe.report", "observe.reference_results", "cli")


@pytest.mark.parametrize("module", MODULES)
def test_reading_needs_neither_torch_nor_ray(module: str) -> None:
    code = f"import sys, swarm_ray.{module}; print([m for m in {HEAVY} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
