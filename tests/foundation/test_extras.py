"""What the extras bring stays with those who ask for it: nothing else imports it, and asking without it is one line."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
CHAIN = {
    "web3", "eth-abi", "eth-account", "eth-hash", "eth-keys", "eth-typing", "eth-utils", "py-ecc", "ckzg",
}  # fmt: skip
WITHOUT = """
import importlib.metadata, sys

def version(name, found=importlib.metadata.version):
    if name in ("hivemind", "gensyn-genrl"):
        raise importlib.metadata.PackageNotFoundError(name)
    return found(name)

importlib.metadata.version = version
sys.modules["hivemind"] = sys.modules["genrl"] = None  # an import of either is an ImportError
"""


def needed_by(name: str, extras: frozenset[str] = frozenset()) -> set[str]:
    """All packages that an installation of one takes, as far as they are installed here."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(name, extras)]
    while waiting:
        package, wanted = waiting.pop()
        if (package, wanted) in seen:
            continue
        seen.add((package, wanted))
        try:
            texts = requires(package) or []
        except PackageNotFoundError:
            continue  # an extra of somebody's that is not here
        for requirement in map(Requirement, texts):
            marker = requirement.marker
            environments = [dict(default_environment(), extra=extra) for extra in (*wanted, "")]
            if marker is None or any(marker.evaluate(environment) for environment in environments):
                waiting.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return {package for package, _ in seen}


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process that has neither extra."""
    command = [sys.executable, "-c", WITHOUT + code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)


def test_the_base_installation_takes_no_blockchain_library() -> None:
    base = needed_by("swarm-ray")
    assert {"torch", "ray", "reasoning-gym"} <= base
    assert base & (CHAIN | {"gensyn-genrl", "hivemind", "hydra-core"}) == set()
    assert needed_by("swarm-ray", frozenset({"hivemind"})) & CHAIN == set()
    assert needed_by("swarm-ray", frozenset({"genrl"})) & CHAIN, "or this test sees nothing"


def test_everything_else_is_imported_without_them() -> None:
    done = run(
        """
import importlib, pkgutil
import actors, drive_store, swarm_ray

OF_EXTRAS = ("swarm_ray.genrl.", "swarm_ray.exchange.hivemind.", "actors.trainer.game_")
for package in (drive_store, swarm_ray, actors):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.startswith(OF_EXTRAS) and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
print("imported")
"""
    )
    assert done.stdout.endswith("imported\n"), done.stderr


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["simulate", "--root", "{root}", "--nodes", "2", "--rounds", "1", "exchange=hivemind"], "hivemind"),
        (["genrl", "--recipe", "rgym", "--root", "{root}", "--experiment", "x"], "genrl"),
    ],
)
def test_asking_for_one_that_is_missing_is_one_line(arguments: list[str], extra: str, tmp_path: Path) -> None:
    code = "from swarm_ray.cli import main; sys.exit(main(sys.argv[1:]))"
    done = run(code, *[a.format(root=tmp_path) for a in arguments])
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"pip install 'swarm-ray[{extra}]'" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
