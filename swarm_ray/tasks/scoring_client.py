"""The scorer's end of the scoring process: start it, talk to it within deadlines, end it.

The two say msgspec messages to each other over two pipes, each with its length before it.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from swarm_ray.errors import ScoringError
from swarm_ray.records.rollouts import QuestionRef

LENGTH_BYTES = 4
FOLDER_PREFIX = "swarm-ray-scoring-"
"""Of the working folder that the scorer makes and both ends remove, whichever lives longer."""
START_S = 60.0
"""Longest start: importing reasoning-gym takes 1 to 3 seconds, on a busy machine many times that."""
END_S = 2.0
CHUNK_BYTES = 1 << 16
KEPT_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Where some Pythons find their own shared library; the process clears them once it is up."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Each further thread of a numerical library reserves address space, which is limited."""


class Start(msgspec.Struct):
    """The scorer's first frame: what to build."""

    config: bytes
    """The `TasksConfig` as JSON."""
    allowed_modules: tuple[str, ...] | None


class Ready(msgspec.Struct):
    """The process's answer to it."""

    error: str | None
    """Why it cannot score; then it ends."""
    refuses_external: tuple[str, ...]
    """Specialties whose verifiers evaluate text."""


class ScoreItem(NamedTuple):
    """A completion to score."""

    question: QuestionRef
    """A peer's passes `TaskSet.verify` first; a text hash of "" leaves the question's text unchecked."""
    text: str
    """The whole completion, from which the scorer extracts the answer; the process gets the answer alone."""
    external: bool = False
    """True for a peer's text: verifiers that evaluate text refuse it."""


class Score(NamedTuple):
    """What an answer is worth; a frame of its own, so that the scorer sees which one ended the process."""

    reward: float
    """The verifier's raw value, between 0 and 1; 0 unless the outcome is ok."""
    outcome: str
    """ok, error (no such question, or no reward from its verifier), timeout, refused (see `safe_verifiers`),
    or killed (it ended the process)."""


def frame(message: Any) -> bytes:
    """A message as it stands on the pipe: 4 bytes of length (big-endian), then msgpack."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


class ChildLost(Exception):
    """The process died or did not answer in time."""


class ScoringClient:
    """One scoring process, from its start to its end."""

    def __init__(self, start: Start) -> None:
        """Start the process and return at once; `ready` waits for it."""
        self._folder = tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX, ignore_cleanup_errors=True)
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `close`)
        self._process = subprocess.Popen(  # noqa: S603  (our own interpreter and program)
            [sys.executable, "-I", "-c", _program()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            cwd=self._folder.name,
            env={name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ} | ONE_THREAD,
            close_fds=True,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._pipe_in, self._pipe_out = self._process.stdin, self._process.stdout
        os.set_blocking(self._pipe_in.fileno(), False)
        self._buffer = bytearray()
        self._ready: Ready | None = None
        self._unsent = memoryview(frame(start))
        with contextlib.suppress(ChildLost):  # `ready` finds it dead and says why
            self._send(0.0)

    def ready(self) -> Ready:
        """Wait until the process can score.

        Raises:
            ScoringError: It does not start.
        """
        if self._ready is None:
            try:
                self._send(START_S)
                self._ready = msgspec.msgpack.decode(self._receive(START_S), type=Ready)
            except ChildLost as lost:
                raise ScoringError(
                    f"the scoring process does not start: {lost}{self._last_words()}"
                ) from lost
            if self._ready.error is not None:
                raise ScoringError(f"the scoring process cannot score: {self._ready.error}")
        return self._ready

    def scores(self, answers: Sequence[ScoreItem], each_s: float) -> Iterator[Score]:
        """Score answers in order.

        Args:
            answers: What to score.
            each_s: Longest time between two scores, in seconds.

        Raises:
            ChildLost: The process died or hangs at the answer whose score would be the next.
        """
        self._unsent = memoryview(frame(answers))
        self._send(each_s)
        decoder = msgspec.msgpack.Decoder(Score)
        for _ in answers:
            yield decoder.decode(self._receive(each_s))

    def close(self, *, kill: bool = False) -> None:
        """End the process: by closing its pipe, or at once; it is waited for in either case."""
        with contextlib.suppress(BrokenPipeError):
            self._pipe_in.close()
        if kill:
            self._process.kill()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._pipe_out.close()
        self._stderr.close()
        self._folder.cleanup()

    def _send(self, seconds: float) -> None:
        """Write what is unsent, as far as the time allows; 0 seconds writes what the pipe takes at once."""
        deadline = time.monotonic() + seconds
        while self._unsent:
            try:
                self._unsent = self._unsent[os.write(self._pipe_in.fileno(), self._unsent[:CHUNK_BYTES]) :]
            except BlockingIOError:
                if seconds == 0.0:
                    return
                _wait(self._pipe_in.fileno(), select.POLLOUT, deadline)
            except BrokenPipeError as error:
                raise ChildLost("it ended") from error

    def _receive(self, seconds: float) -> bytes:
        """The body of the next frame."""
        deadline, buffer = time.monotonic() + seconds, self._buffer
        while len(buffer) < (end := LENGTH_BYTES + int.from_bytes(buffer[:LENGTH_BYTES], "big")):
            _wait(self._pipe_out.fileno(), select.POLLIN, deadline)
            chunk = os.read(self._pipe_out.fileno(), CHUNK_BYTES)
            if not chunk:
                raise ChildLost("it ended")
            buffer += chunk
        body = bytes(buffer[LENGTH_BYTES:end])
        del buffer[:end]
        return body

    def _last_words(self) -> str:
        """The last line that the process wrote before it was ready, for the error's message."""
        self._stderr.seek(0)
        _, _, last = self._stderr.read()[-CHUNK_BYTES:].decode(errors="replace").rstrip().rpartition("\n")
        return f" ({last.strip()})" if last else ""


def _wait(descriptor: int, event: int, deadline: float) -> None:
    """Wait for a pipe; `poll` and not `select`, since a trainer may have more than 1024 open files."""
    poll = select.poll()
    poll.register(descriptor, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise ChildLost("it does not answer")


def _program() -> str:
    """What the process runs: our import path is handed over, since `-I` ignores PYTHONPATH."""
    path = [str(Path(entry).absolute()) for entry in sys.path]
    return f"import sys; sys.path[:] = {path!r}; from swarm_ray.tasks.scoring_process import main; main()"
