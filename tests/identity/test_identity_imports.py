"""Identities need neither GenRL nor hivemind nor torch, and nothing that stands on them does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXTRAS = ("genrl", "hivemind", "web3", "eth_account")
HEAVY = ("torch", "transformers", "ray")


def loaded(code: str, names: tuple[str, ...]) -> list[str]:
    """Which of `names` are modules once `code` has run in a fresh process."""
    told = f"import sys\n{code}\nprint(*[n for n in {names!r} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", told],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    return done.stdout.split()


def test_an_identity_and_its_animal_load_one_module_of_genrl_and_nothing_heavy(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from swarm_ray.identity import new_identity
assert new_identity(Path({str(tmp_path / "pi.pem")!r})).animal
print(*sorted(name for name in sys.modules if name.startswith("genrl.")))
"""
    names = (*EXTRAS[1:], *HEAVY)
    assert loaded(code, names) == ["genrl.misc_utils", "genrl.misc_utils.name_utils"]


def test_the_base_package_loads_no_extra() -> None:
    modules = (
        "swarm_ray.swarm, swarm_ray.runtime.worker, swarm_ray.cli.main, actors.trainer.trainer,"
        "swarm_ray.experiments, swarm_ray.observe.watch, actors.discovery.discovery,"
        "actors.coordinator.coordinator, swarm_ray.colab"
    )
    assert loaded(f"import {modules}", EXTRAS) == []
