"""The owner's end of the link's process: start it, call it within deadlines, end it.

hivemind's own `DHT` forks the process that uses it and talks to the fork through a pipe. A process with threads and a
device should not be forked; messages above 16 KiB end the fork, for its event loop makes the pipe non-blocking; and a
call to a fork that has ended never returns. So hivemind's node runs in a process of ours, behind a socket.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import IO, TypeVar

import msgspec
import psutil

from swarm_ray.errors import LinkError
from swarm_ray.exchange.hivemind.cleanup import make_socket_folder
from swarm_ray.exchange.hivemind.messages import LENGTH_BYTES, SHOWN, Call, Reply, Request, body_length, frame

T = TypeVar("T")

END_S = 3.0
MOST_UNANSWERED = 2
"""Calls in a row that may go without an answer; whatever holds the process up would hold up every call."""
RESERVE = 0.1
"""The share of a call's time by which the process must answer sooner, so that it is the one that says what was late."""
SETTING = {
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",  # it loads torch, and has nothing to do on the device
    "HIVEMIND_LOGLEVEL": "CRITICAL",  # what it writes is kept until its end
    "GOLOG_LOG_LEVEL": "error",
}


class LinkClient:
    """One process with hivemind's DHT node, from its start to its end. Threads may share it."""

    def __init__(self) -> None:
        """Start it and return at once.

        Raises:
            LinkError: the system starts no more processes.
        """
        with ExitStack() as unless_it_starts:
            try:
                self._folder = make_socket_folder()
                unless_it_starts.callback(shutil.rmtree, self._folder, ignore_errors=True)
                self._stderr = unless_it_starts.enter_context(tempfile.TemporaryFile())
                self._socket, theirs = socket.socketpair()
                unless_it_starts.callback(self._socket.close)
                with theirs:
                    self._process = _start(theirs, self._stderr, self._folder)
            except OSError as error:
                raise LinkError(f"the link's process cannot be started: {error}") from error
            unless_it_starts.pop_all()
        self._daemon: psutil.Process | None = None
        self._numbers = count()
        self._calls: dict[int, Future[Reply]] = {}
        self._sending, self._listing = threading.Lock(), threading.Lock()
        self._silent, self._reason = 0, ""
        threading.Thread(target=self._read, name="link", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether p2pd is up, and it can be called."""
        return self._daemon is not None and not self._reason and self._process.poll() is None

    def own(self, daemon: int) -> None:
        """Tell it the process id of p2pd, which is ended with it."""
        with contextlib.suppress(psutil.Error):
            self._daemon = psutil.Process(daemon)

    def call(self, call: Call, answer: msgspec.msgpack.Decoder[T], within_s: float) -> T:
        """Have something done.

        Args:
            call: what.
            answer: decodes the answer.
            within_s: how long it may take.

        Raises:
            LinkError: it was not done in time, or cannot be.
        """
        deadline = time.monotonic() + within_s
        future: Future[Reply] = Future()
        with self._listing:
            if self._reason:
                raise LinkError(f"the link's process has gone: {self._reason}")
            number = next(self._numbers)
            self._calls[number] = future
        try:
            self._send(frame(Request(number, deadline - RESERVE * within_s, call)), deadline)
            reply = future.result(max(0.0, deadline - time.monotonic()))
        except FutureTimeout:
            raise self._unanswered(within_s) from None
        finally:
            with self._listing:
                self._calls.pop(number, None)
        if reply.error:
            raise LinkError(reply.error)
        return answer.decode(reply.value)

    def close(self) -> None:
        """End it and p2pd, and fail the calls that wait; harmless when repeated."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # by which it ends itself, and the reading thread
        try:
            self._process.wait(0.0 if self._daemon is None else END_S)  # one that is not up hears nothing yet
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._clear("it was closed")
        self._stderr.close()

    def _clear(self, reason: str) -> None:
        """Fail the calls that wait, and leave nothing of a process that has gone."""
        self._lose(reason)
        if self._daemon is not None:
            with contextlib.suppress(psutil.Error):  # it has gone; a later process of its id is left alone
                self._daemon.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _send(self, message: bytes, deadline: float) -> None:
        """Send a message whole, or end the process: after half of one it understands nothing more."""
        if not self._sending.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise FutureTimeout
        rest, poll = memoryview(message), select.poll()  # `select` takes no more than 1024 open files
        try:
            poll.register(self._socket, select.POLLOUT)
            while rest and poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                with contextlib.suppress(BlockingIOError):
                    rest = rest[self._socket.send(rest, socket.MSG_DONTWAIT) :]
            if 0 < len(rest) < len(message):
                self._process.kill()
        except (OSError, ValueError) as error:  # ValueError: it has just been closed
            self._lose(self._last_words() or str(error))
            raise LinkError(f"the link's process has gone: {self._reason}") from error
        finally:
            self._sending.release()
        if rest:
            raise FutureTimeout

    def _unanswered(self, within_s: float) -> LinkError:
        """The error of a call whose time is up."""
        with self._listing:
            self._silent += 1
            stuck = self._silent >= MOST_UNANSWERED
        if stuck:
            self._process.kill()
        return LinkError(
            f"the link's process did not answer within {within_s:g} s{' and was ended' if stuck else ''}"
        )

    def _read(self) -> None:
        """Hand answers to those who wait, in a thread of its own, until the process has gone."""
        try:
            with self._socket.makefile("rb") as incoming:
                while len(head := incoming.read(LENGTH_BYTES)) == LENGTH_BYTES:
                    length = body_length(head)
                    if len(body := incoming.read(length)) < length:
                        break  # it was killed in the middle of an answer
                    self._answer(msgspec.msgpack.decode(body, type=Reply))
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            self._lose(self._last_words() or str(error))
        self._clear(self._last_words() or "it ended")
        self._socket.close()

    def _answer(self, reply: Reply) -> None:
        with self._listing:
            self._silent = 0
            future = self._calls.pop(reply.number, None)
        if future is not None:
            future.set_result(reply)

    def _lose(self, reason: str) -> None:
        """Fail all calls, now and later; the first reason stays."""
        with self._listing:
            self._reason = self._reason or reason
            waiting = list(self._calls.values())
            self._calls.clear()
        for future in waiting:
            future.set_exception(LinkError(f"the link's process has gone: {self._reason}"))

    def _last_words(self) -> str:
        """The last line that it wrote."""
        try:
            file = self._stderr.fileno()
        except ValueError:  # closed
            return ""
        end_of_it = os.pread(file, SHOWN, max(0, os.fstat(file).st_size - SHOWN)).decode(errors="replace")
        return next((line.strip() for line in reversed(end_of_it.split("\n")) if line.strip()), "")


def _start(theirs: socket.socket, stderr: IO[bytes], folder: str) -> subprocess.Popen[bytes]:
    """Our own interpreter with our import path; a session of its own, so that Ctrl-C ends nothing here."""
    path = [str(Path(entry).absolute()) for entry in sys.path]
    program = (
        f"import sys; sys.path[:] = {path!r}; "
        f"from swarm_ray.exchange.hivemind.child import main; main({theirs.fileno()}, {os.getpid()}, {folder!r})"
    )
    return subprocess.Popen(  # noqa: S603  (our own interpreter and program)
        [sys.executable, "-W", "ignore", "-c", program],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        env=os.environ | SETTING,
        pass_fds=(theirs.fileno(),),
        start_new_session=True,
    )
