"""A test that fails ends what it started, so that its neighbours pass."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NEIGHBOURS = """
import gc, pathlib, signal, subprocess
import psutil, pytest

def start():
    return subprocess.Popen(["sleep", "1000"], stdout=subprocess.PIPE, start_new_session=True)

@pytest.fixture(scope="module")
def kept():
    with start() as process:
        yield process
        process.kill()

@pytest.fixture
def broken(kept):
    left = start()
    pathlib.Path("fixture").write_text(str(left.pid))
    raise OSError("in a fixture")

def test_that_fails(kept):
    left = start()
    file = open("test", "w")
    file.write(str(left.pid))
    file.flush()
    assert file.closed

def test_whose_fixture_fails(broken):
    pass

def test_of_a_neighbour(kept):
    gc.collect()
    assert kept.poll() is None
    assert [name for name in ("fixture", "test") if psutil.pid_exists(int(pathlib.Path(name).read_text()))] == []

def test_of_an_interrupt():
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""


def test_a_failure_stays_alone(tmp_path: Path) -> None:
    """In a process that ignores SIGINT, as a shell's background job does."""
    (tmp_path / "test_neighbours.py").write_text(NEIGHBOURS)
    plugins = ["-p", "conftest", "-p", "no:cacheprovider", "-p", "no:xdist"]
    pytest = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), *plugins, "-q", "."]
    command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *pytest]
    known = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *sys.path])}
    caught = {"capture_output": True, "text": True, "timeout": 100}
    ended = subprocess.run(command, cwd=tmp_path, env=known, check=False, **caught)
    assert ended.stdout.splitlines()[-1].startswith("1 failed, 2 passed, 1 error in"), ended.stdout
    assert "left behind" not in ended.stdout
