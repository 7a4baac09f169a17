"""The Ray instance that a swarm runs on: the one that is there, or a private local one."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import psutil
import ray

from swarm_ray.errors import ActorFailure

OBJECT_STORE_BYTES = 200_000_000
"""Little travels through Ray; its default would take 30 % of the memory."""
STARTED_WITHIN_S = 300.0
"""An actor that is not up by then never will be."""
RAYS_OWN = frozenset({"raylet", "gcs_server", "python", "python3"})
CONNECTED_WITHIN_S = 10.0


class RayInstance:
    """Uses the Ray that is initialised or that RAY_ADDRESS names, else starts a private one on this machine.

    Only the private one is shut down at the end, and started again when it dies. Starting takes seconds, so it can
    be begun in the background while something else is prepared.

    Args:
        dashboard: whether a private one serves Ray's dashboard, which needs `ray[default]`, on this machine alone.
    """

    def __init__(self, *, dashboard: bool = False) -> None:
        self._ours, self._dashboard = False, dashboard
        self._pool = ThreadPoolExecutor(1, "ray-start")
        self._started: Future[None] | None = None
        self._processes: list[psutil.Process] = []
        self._raylet: psutil.Process | None = None
        self.generation = 0
        """Counts the private Rays that were started in place of a dead one."""

    def begin(self) -> None:
        """Begin to start Ray, or to connect to it, where it is not there."""
        if self._started is None and not ray.is_initialized():
            self._ours = True
            self._started = self._pool.submit(_init, dashboard=self._dashboard)

    def wait(self) -> None:
        """Return when Ray is there.

        Raises:
            ActorFailure: it does not start.
        """
        on_terminate = signal.getsignal(signal.SIGTERM)
        self.begin()
        if self._started is None:
            return
        ended, _ = wait([self._started], timeout=STARTED_WITHIN_S)
        error = self._started.exception() if ended else TimeoutError(f"no answer in {STARTED_WITHIN_S:g} s")
        if error is not None:  # a slow start is a plain Exception of Ray's, so no class is named here
            where = "on this machine" if _private() else f"as RAY_ADDRESS={os.environ['RAY_ADDRESS']} says"
            raise ActorFailure(f"Ray does not start {where}: {error}") from error
        if threading.current_thread() is threading.main_thread():
            # Ray's own handler of SIGTERM would end this process at once, and leave its actors behind.
            signal.signal(signal.SIGTERM, on_terminate)
        if _private():
            self._watch_raylet()

    def lost(self) -> bool:
        """Whether the private Ray has died: its raylet is gone, which Ray itself notices only after a while."""
        return self._raylet is not None and not _lives(self._raylet)

    def revive(self) -> None:
        """Start the private Ray again after its death, and end what is left of the old one.

        Raises:
            ActorFailure: it does not start.
        """
        ray.shutdown()
        for process in filter(_lives, self._processes):
            process.kill()
        self._processes, self._raylet, self._started = [], None, None
        self.generation += 1
        self.wait()

    def close(self) -> None:
        """Shut down, or disconnect from, what was begun here; harmless when repeated."""
        if self._started is not None:
            wait([self._started])
        if self._ours and ray.is_initialized():
            ray.shutdown()
        # Not before: Linux kills Ray's processes with the thread that started them, and Ray then waits 15 s for them.
        self._pool.shutdown(wait=True)

    def _watch_raylet(self) -> None:
        """Remember the processes of the private Ray; the raylet is a child of this one."""
        children = psutil.Process().children(recursive=True)
        self._processes = [p for p in children if _lives(p) and (p.name() in RAYS_OWN or "ray::" in p.name())]
        self._raylet = next((p for p in self._processes if p.name() == "raylet"), None)


def _private() -> bool:
    """Whether Ray is to be started here, and not one that RAY_ADDRESS names."""
    return os.environ.get("RAY_ADDRESS", "local") in {"", "local"}


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _init(*, dashboard: bool) -> None:
    logging.getLogger("ray").setLevel(logging.ERROR)
    quiet: dict[str, Any] = {
        "log_to_driver": False,
        "configure_logging": False,
        "logging_level": logging.ERROR,
    }
    if not _private():
        _require_listener(os.environ["RAY_ADDRESS"])
        ray.init(address=os.environ["RAY_ADDRESS"], **quiet)
        return
    # Loopback only. Unset, every start prints a warning, and the dashboard refuses its own pages what they ask.
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    ray.init(
        address="local",
        include_dashboard=dashboard,
        dashboard_host="127.0.0.1",
        object_store_memory=OBJECT_STORE_BYTES,
        **quiet,
    )


def _require_listener(address: str) -> None:
    """Raise OSError where nobody listens: Ray itself would end this process after a while."""
    host, _, port = address.rpartition(":")
    if port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=CONNECTED_WITHIN_S).close()


def dashboard_address() -> str:
    """Host and port of the dashboard of the Ray in use; empty where it has none."""
    if not ray.is_initialized():
        return ""
    on_terminate = signal.getsignal(signal.SIGTERM)
    # Of a Ray that is there already this only asks, and puts a handler of SIGTERM in place of ours.
    known = ray.init(ignore_reinit_error=True, configure_logging=False, logging_level=logging.ERROR)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_terminate)
    return str(known.dashboard_url or "")
