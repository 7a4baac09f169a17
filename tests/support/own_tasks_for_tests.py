"""Tasks registered by a test's own module: one in ten lines, and some that misbehave."""

import contextlib
import ctypes
import os
import random
import signal
import sys
import time
from pathlib import Path

from swarm_ray.tasks.task import _REGISTERED, TaskQuestion


class Doubles:
    name = "twice"

    def question(self, seed, index):
        n = random.Random(f"{seed}/{index}").randint(1, 99)
        return TaskQuestion(text=f"Double {n}: ", reference=str(2 * n), entry={"answer": str(2 * n)})

    def score(self, answer, entry):
        return float(answer == entry["answer"])


def make_doubles(options):
    return Doubles()


def hang_forever():
    while True:
        time.sleep(0.01)


def hang_and_swallow():
    """Like the library's verifiers that say `except:`; a single alarm would be lost."""
    for _ in range(3):
        with contextlib.suppress(BaseException):
            hang_forever()
    return 1.0


def hang_beyond_signals():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    hang_forever()


def print_noise():
    sys.stdout.write("noise " * 1000)
    sys.stdout.flush()
    os.write(1, b"\x00\x00\x00\x01x" * 100)
    os.write(2, b"noise")
    return 0.5


def environment_size():
    libc = ctypes.CDLL(None)
    seen_by_c = sum(
        libc.getenv(name) not in (0, None) for name in (b"HOME", b"PATH", b"SECRET", b"PYTHONPATH")
    )
    return (len(os.environ) + seen_by_c) / 100


DOINGS = {
    "sleep": hang_forever,
    "swallow": hang_and_swallow,
    "beyond": hang_beyond_signals,
    "exit": lambda: os._exit(3),
    "sysexit": lambda: sys.exit(3),
    "raise": lambda: 1 / 0,
    "nan": lambda: float("nan"),
    "two": lambda: 2.0,
    "below": lambda: -0.1,
    "text": lambda: "1.0",
    "none": lambda: None,
    "memory": lambda: float(len(bytearray(8 * 2**30)) > 0),
    "print": print_noise,
    "read": lambda: float(len(sys.stdin.read())),
    "environ": environment_size,
    "folder": lambda: len(list(Path().iterdir())) / 100,
    "pid": lambda: (os.getpid() % 1000) / 1000,
    "half": lambda: 0.5,
}


class Obedient:
    """Does what the answer says."""

    name = "obedient"

    def question(self, seed, index):
        return TaskQuestion(text=f"Do {seed}/{index}", reference="half", entry={})

    def score(self, answer, entry):
        return DOINGS[answer]()


def make_obedient(options):
    return Obedient()


class Unstable:
    """Its questions differ from process to process."""

    name = "unstable"

    def question(self, seed, index):
        return TaskQuestion(text=f"Asked in {os.getpid()}", reference="1", entry={})

    def score(self, answer, entry):
        return 1.0


def make_unstable(options):
    return Unstable()


# `register` would load reasoning-gym, to see that none of its data sets has the name: a second in every process.
_REGISTERED.update({"twice": make_doubles, "obedient": make_obedient, "unstable": make_unstable})
