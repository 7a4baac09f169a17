"""The package stands alone."""

import subprocess
import sys
from pathlib import Path

import drive_store

CODE = """
import sys
import drive_store
drive_store.Store("x")
others = {"torch", "ray", "swarm_ray", "actors", "transformers", "numpy"}
found = others & {name.split(".")[0] for name in sys.modules}
assert drive_store.ExperimentPaths("e").folder == "experiments/e"
print(sorted(found))
"""

ROOT = Path(drive_store.__file__).parents[1]


def test_neither_ray_nor_torch_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
