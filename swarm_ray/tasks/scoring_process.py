"""The process that runs verifiers: an empty environment, its own empty folder, limits on time and memory.

Verifiers are other people's code on other people's text. What they print goes nowhere, what they raise is a
failed verification, what hangs is interrupted by a timer, and what ends the process ends this one only.
"""

from __future__ import annotations

import contextlib
import gc
import math
import numbers
import os
import resource
import shutil
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec

from swarm_ray.config.schema import TasksConfig
from swarm_ray.errors import SwarmError
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring_client import FOLDER_PREFIX, LENGTH_BYTES, Ready, Score, ScoreItem, Start, frame

ADDRESS_SPACE_BYTES = 4 * 2**30
CPU_SLACK_S = 30
REPEAT_S = 0.1


class Expired(BaseException):
    """A verifier took too long; no `Exception`, so that its own `except Exception` does not catch this."""


class Alarm:
    """Limits the time of one call at a time.

    The timer repeats, since some verifiers catch everything (`except:`); `fired` tells in the end.
    """

    def __init__(self, seconds: float) -> None:
        """Take over SIGALRM of this process."""
        self._seconds = seconds
        self._armed = False
        self.fired = False
        signal.signal(signal.SIGALRM, self._ring)

    def call(self, function: Callable[[], object]) -> object:
        """Call a function; None if its time ran out, which `fired` says."""
        self.fired = False
        value: object = None
        try:
            try:
                self._armed = True
                signal.setitimer(signal.ITIMER_REAL, self._seconds, REPEAT_S)
                value = function()
            finally:
                self._disarm()
        except Expired:
            self._disarm()  # it may have rung once more just before the first
        return None if self.fired else value

    def _disarm(self) -> None:
        self._armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _ring(self, *_: object) -> None:
        if self._armed:
            self.fired = True
            raise Expired


def main() -> None:
    """Serve one scorer until it closes the pipe."""
    requests, replies = _private_pipes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it closes the pipe
    body = _read(requests)
    if body is None:
        return
    start = msgspec.msgpack.decode(body, type=Start)
    try:
        config = TasksConfig.model_validate_json(start.config)
        tasks = TaskSet(config, allowed_modules=start.allowed_modules)
    except (SwarmError, ValueError) as error:
        replies.write(frame(Ready(error=str(error), refuses_external=())))
        return
    alarm = Alarm(config.score_timeout_s)
    _confine()
    replies.write(frame(Ready(error=None, refuses_external=tuple(sorted(tasks.refuses_external)))))
    _serve(requests, replies, tasks, alarm, config.score_timeout_s)
    _remove_own_folder()


def score_one(tasks: TaskSet, alarm: Alarm, answer: ScoreItem) -> Score:
    """Score one answer; a failure, or a value that is not a number from 0 to 1, has reward 0 and its own outcome."""
    ref, text, external = answer
    if external and ref.specialty in tasks.refuses_external:
        return Score(0.0, "refused")
    with contextlib.suppress(Exception, SystemExit):  # what a verifier raises is a failed verification
        question = tasks.question(ref.specialty, ref.seed, ref.index)
        if ref.text_hash not in {"", question.ref.text_hash}:
            return Score(0.0, "error")
        task = tasks.tasks[ref.specialty]
        value = alarm.call(lambda: task.score(text, question.entry))
        if not alarm.fired and isinstance(value, numbers.Real) and 0.0 <= (reward := float(value)) <= 1.0:
            return Score(reward, "ok")
    return Score(0.0, "timeout" if alarm.fired else "error")


def _serve(requests: BinaryIO, replies: BinaryIO, tasks: TaskSet, alarm: Alarm, timeout_s: float) -> None:
    decoder = msgspec.msgpack.Decoder(list[ScoreItem])
    while (body := _read(requests)) is not None:
        answers = decoder.decode(body)
        _limit_cpu(CPU_SLACK_S + len(answers) * timeout_s)
        replies.writelines(frame(score_one(tasks, alarm, one)) for one in answers)  # unbuffered: each at once


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Move the pipes away from stdin and stdout, which a verifier may read or print to."""
    requests, replies = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    return os.fdopen(requests, "rb"), os.fdopen(replies, "wb", buffering=0)


def _read(requests: BinaryIO) -> bytes | None:
    """The body of the next frame; None when the scorer closed the pipe or died."""
    head = requests.read(LENGTH_BYTES)
    size = int.from_bytes(head, "big")
    if len(head) < LENGTH_BYTES:
        return None
    body = requests.read(size)
    return body if len(body) == size else None


def _confine() -> None:
    """What imports need and verifiers do not is taken away once all is imported."""
    gc.freeze()  # a collection of all that the imports left takes 60 ms
    os.environ.clear()
    warnings.simplefilter("ignore")
    os.dup2(1, 2)
    # Some systems (macOS) refuse a limit of the address space; time limits hold there all the same.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_cpu(seconds: float) -> None:
    """Let a process that hangs where no signal reaches Python, and whose parent is gone, end by itself."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(usage.ru_utime + usage.ru_stime + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard < 0 else min(soft, hard), hard))


def _remove_own_folder() -> None:
    """Leave nothing behind where the parent died; a verifier may have gone elsewhere, hence the prefix."""
    folder = Path.cwd()
    if folder.name.startswith(FOLDER_PREFIX):
        os.chdir("/")
        shutil.rmtree(folder, ignore_errors=True)
