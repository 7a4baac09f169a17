"""Every call of a store ends in time, although the file system hangs."""

import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from drive_store import Store, StoreUnavailable
from drive_store.store.deadline import MOST_HANGING, Deadline

SOON = 0.05  # seconds


class Hanging:
    """A file system of which every call, or the one that is named, waits until it is released."""

    def __init__(self, real: object, only: str | None = None) -> None:
        self.real, self.only = real, only
        self.release = threading.Event()
        self.called: list[str] = []

    def __getattr__(self, name: str) -> object:
        found = getattr(self.real, name)
        if self.only not in (None, name):
            return found

        def hang(*arguments: object, **named: object) -> object:
            self.called.append(name)
            self.release.wait()
            return found(*arguments, **named)

        return hang


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path), deadline_s=SOON)
    store.create("there", b"data")
    store.attach("there")
    return store


@pytest.fixture
def hanging(store: Store) -> Iterator[Hanging]:
    mount = Hanging(store._fs)
    store._fs = mount
    yield mount
    mount.release.set()


CALLS: dict[str, Callable[[Store, Path], object]] = {
    "create": lambda store, path: store.create("a", b"x"),
    "replace_copy": lambda store, path: store.replace_copy("a", b"x"),
    "read": lambda store, path: store.read("there", 10),
    "size": lambda store, path: store.size("there"),
    "modified": lambda store, path: store.modified("there"),
    "remove": lambda store, path: store.remove("there"),
    "remove_tree": lambda store, path: store.remove_tree("a"),
    "make_folder": lambda store, path: store.make_folder("b"),
    "put_file": lambda store, path: store.put_file("a", path),
    "get_file": lambda store, path: store.get_file("there", path, 10),
    "check": lambda store, path: store.check(),
    "attach": lambda store, path: store.attach("there"),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_call_ends(name: str, store: Store, hanging: Hanging, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_bytes(b"own")
    with pytest.raises(StoreUnavailable, match=r"did not answer within 0\.05 s"):
        CALLS[name](store, own)
    assert len(hanging.called) == len(store._deadline._hanging) == 1


@pytest.mark.parametrize("name", ["free_space", "uploaded", "names"])
def test_calls_of_the_system_end(name: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr("shutil.disk_usage", lambda root: release.wait())
    monkeypatch.setattr("drive_store.store.transfer.upload_state", lambda path: release.wait())
    monkeypatch.setattr("os.listdir", lambda path: release.wait())
    with pytest.raises(StoreUnavailable, match="did not answer"):
        getattr(store, name)(*[] if name == "free_space" else ["there"])
    release.set()


def test_while_too_many_hang_calls_fail_at_once(store: Store, hanging: Hanging, tmp_path: Path) -> None:
    for _ in range(MOST_HANGING):
        with pytest.raises(StoreUnavailable, match="did not answer"):
            store.size("there")
    with pytest.raises(StoreUnavailable, match="earlier calls still hang"):
        store.size("there")
    assert len(hanging.called) == MOST_HANGING
    assert Store(str(tmp_path)).size("there") == 4, "one store that hangs stops no other"
    hanging.release.set()
    while store._deadline._hanging:
        pass
    store._deadline.seconds = 60
    assert store.size("there") == 4


def test_what_was_given_up_may_still_be_written(store: Store, hanging: Hanging) -> None:
    with pytest.raises(StoreUnavailable):
        store.create("late", b"data")
    (call,) = store._deadline._hanging
    hanging.release.set()
    call.result(timeout=60)
    store._deadline.seconds = 60
    assert store.read("late", 10) == b"data"


def test_progress_prolongs_a_call() -> None:
    done, steps = threading.Event(), itertools.count()

    def progress() -> int:
        step = next(steps)
        if step == 5:
            done.set()
        return step

    assert Deadline(SOON).call(lambda: done.wait(60), progress) is True
    assert next(steps) >= 5


def test_errors_and_values_pass_unchanged() -> None:
    deadline = Deadline()
    assert deadline.call(lambda: deadline.call(lambda: 5)) == 5
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            deadline.call(lambda: 1 // 0)


def test_helpers_are_used_again(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.size("a")
    before = threading.active_count()
    for n in range(50):
        store.create(f"f{n}", b"")
    assert threading.active_count() == before

    def work(n: int) -> None:
        for i in range(20):
            store.create(f"t{n}-{i}", b"%d" % i)
            assert store.read(f"t{n}-{i}", 10) == b"%d" % i

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(work, range(24)))
    assert store.operations.creates == 24 * 20 + 50


HANGS = """
import sys, threading
from drive_store import Store, StoreUnavailable
store = Store(sys.argv[1], deadline_s=0.05)
store._fs = type("Fs", (), {"info": lambda self, path: threading.Event().wait()})()
try:
    store.size("a")
except StoreUnavailable as error:
    print(error)
"""


def test_a_process_ends_although_a_call_hangs(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HANGS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "did not answer" in done.stdout
    assert done.stderr == ""


def test_a_forked_process_has_helpers_of_its_own(tmp_path: Path) -> None:
    program = (
        "import os, sys, warnings\nwarnings.simplefilter('ignore')\nfrom drive_store import Store\n"
        "store = Store(sys.argv[1])\nstore.create('a', b'x')\nchild = os.fork()\n"
        "size = store.size('a')\nif child == 0: os._exit(size)\nsys.exit(os.waitpid(child, 0)[1] != 256)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], timeout=60, check=True)


def test_the_helper_of_a_call_that_is_interrupted_ends() -> None:
    threads: list[threading.Thread] = []
    begun, done = threading.Event(), threading.Event()
    looks = iter([0])

    def interrupted() -> int:
        for first in looks:
            return first
        begun.wait(60)
        raise KeyboardInterrupt

    def work() -> None:
        threads.append(threading.current_thread())
        begun.set()
        done.wait(60)

    with pytest.raises(KeyboardInterrupt):
        Deadline(SOON).call(work, interrupted)
    done.set()
    threads[0].join(60)
    assert not threads[0].is_alive()
