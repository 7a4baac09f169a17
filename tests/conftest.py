"""What tests of several folders share; and no test leaves a process behind, least of all one that fails.

`make test` runs them in two processes; the tests of a file stay in one, for what they share is made once.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from leftovers_for_tests import Before, end_leftovers, end_what_came

if TYPE_CHECKING:
    from folder_for_tests import Folder
    from link_for_tests import DhtLink

ROOT = Path(__file__).parent.parent
LEFT = pytest.StashKey[list[str]]()
FAILED = pytest.StashKey[Before]()
"""What there was before a test that failed was called."""
SLOW = (
    "documents",
    "kills",
    "notebooks",
    "swarm",
    "genrl",
    "sweeps",
    "direct_link",
    "tracking",
    "models",
    "discovery",
)
"""Folders with tests that start Ray or p2pd, the longest first."""

settings.register_profile("swarm-ray", deadline=None, derandomize=True, database=None)
settings.load_profile("swarm-ray")
# Made at the first run of a checkout and kept, so that the warm start is paid for once.
os.environ.setdefault("SWARM_RAY_CACHE", str(ROOT / ".cache" / "swarm-ray"))
# What a machine must not lose, nobody needs after the tests.
os.environ["SWARM_RAY_STATE"] = tempfile.mkdtemp(prefix="swarm-ray-tests-")
# A shell's background job ignores SIGINT, and so would all that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """One torch thread for each test: on small models, a second one costs more than it brings."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """The folder of an experiment."""
    from folder_for_tests import Folder

    return Folder(tmp_path)


@pytest.fixture
def root(tmp_path: Path) -> str:
    """Where experiments lie; its name has a space in it."""
    return str(tmp_path / "My Drive")


@pytest.fixture(scope="session")
def ray_session() -> Iterator[str]:
    """The address of a Ray that the user has initialised before any swarm."""
    import ray

    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    ray.init(
        address="local",  # not the cluster of a test in the other process
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=200_000_000,
        configure_logging=False,
        logging_level=logging.ERROR,
    )
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


@pytest.fixture(scope="session")
def links() -> Iterator[tuple[DhtLink, DhtLink]]:
    """Two direct links that know each other."""
    from link_for_tests import started

    first = started()
    second = started(*first.multiaddrs)
    yield first, second
    first.close()
    second.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is slow goes first, so that no process is left with it at the end."""
    items.sort(key=_order)


def _order(item: pytest.Item) -> int:
    folder = item.path.parent.name
    return SLOW.index(folder) if folder in SLOW else len(SLOW)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail when something that the tests started is still there, and end it."""
    left = session.config.stash.setdefault(LEFT, [])
    # Where there are several processes, those that ran the tests have looked.
    if not session.config.getoption("numprocesses", None):
        left += end_leftovers()
    shutil.rmtree(os.environ["SWARM_RAY_STATE"], ignore_errors=True)
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left"] = left
    elif left and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, Any, Any]:
    """A fixture that fails ends what it started."""
    before = Before.now()
    try:
        return (yield)
    except BaseException:
        end_what_came(before)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Note what there was before a test that fails."""
    before = Before.now()
    try:
        yield
    except BaseException:
        item.stash[FAILED] = before
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """A test that failed ends what it started, once its fixtures have done what they can."""
    try:
        return (yield)
    finally:
        if FAILED in item.stash:
            end_what_came(item.stash[FAILED])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Keep what one of several test processes found left."""
    node.config.stash.setdefault(LEFT, []).extend(getattr(node, "workeroutput", {}).get("left", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what was left."""
    left = config.stash.get(LEFT, [])
    if left:
        terminalreporter.section("processes that the tests left behind", sep="=", red=True)
        for line in left:
            terminalreporter.write_line(line)
