"""A process that is killed while it writes checkpoints leaves the last one it called safe, bit for bit."""

import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import writing_for_tests
from checkpoints_for_tests import PATHS, small_policy
from writing_for_tests import digest

from drive_store import ExperimentStore, Store
from swarm_ray.checkpointing.restore import Found, apply, find_newest

WRITING = Path(writing_for_tests.__file__)


@pytest.fixture(scope="module")
def writer() -> Iterator[subprocess.Popen[str]]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(WRITING)]
    with subprocess.Popen(command, **pipes, env=environment, start_new_session=True) as process:
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def killed_after(writer: subprocess.Popen[str], folder: Path, saved: int, later_s: float) -> int:
    """The last step that a process called safe; it is killed `later_s` after it said so of `saved` steps."""
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write(f"{folder}\n")
    pid, *steps = [int(writer.stdout.readline()) for _ in range(1 + saved)]
    select.select([], [], [], later_s)
    os.kill(pid, signal.SIGKILL)
    return max([*steps, *map(int, iter(writer.stdout.readline, "gone\n"))])


def require_whole(found: Found | None, folder: Path) -> int:
    assert found is not None
    policy = small_policy(3)
    apply(found, policy, "all", found.state.model)
    assert digest(policy) == (folder / "digests" / str(found.state.step)).read_text()
    return found.state.step


@pytest.mark.parametrize("seed", range(4))
def test_the_last_safe_checkpoint_survives_a_kill(tmp_path, writer, seed) -> None:
    stream = random.Random(seed)
    safe = killed_after(writer, tmp_path, stream.randint(1, 12), stream.random() * 0.03)
    store, problems = Store(str(tmp_path / "root")), []
    here = find_newest(tmp_path / "here", ExperimentStore(store, PATHS), "node-0", problems)
    assert require_whole(here, tmp_path) >= safe
    # An upload may have been cut off; the one before it then holds.
    if any(name.startswith("node-0.") for name in store.names(PATHS.checkpoints_parent)) and safe > 1:
        from_folder = find_newest(tmp_path / "elsewhere", ExperimentStore(store, PATHS), "node-0", problems)
        assert require_whole(from_folder, tmp_path) >= safe - 1
