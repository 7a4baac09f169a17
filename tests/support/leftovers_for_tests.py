"""What tests have started and not ended: found by a mark in its environment, and ended."""

import gc
import os
import subprocess
import sys
import time
import traceback
import warnings
from dataclasses import dataclass
from typing import Self

import psutil

MARK = "SWARM_RAY_TEST_SESSION"
GONE_WITHIN_S = 15.0

# Whatever a test starts inherits it: by this a process of ours is known after its parent has gone.
os.environ[MARK] = f"{os.getpid()}-{time.time_ns()}"


@dataclass(frozen=True)
class Before:
    """What there was before a test, or a fixture."""

    pids: frozenset[int]
    had_ray: bool

    @classmethod
    def now(cls) -> Self:
        """All processes of this machine; which of them are ours is asked only after a failure."""
        return cls(frozenset(psutil.pids()), _has_ray())


def end_leftovers() -> list[str]:
    """Wait for all processes of this session, end those that stay, and name them."""
    _, alive = psutil.wait_procs(_started(), timeout=GONE_WITHIN_S)
    named = [_line(process) for process in alive]
    _end(alive)
    return named


def end_what_came(before: Before) -> None:
    """End what a failed test, or a failed fixture, has left open, so that no other test fails by it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that something was left open has failed one test already
        _end_actors(had_ray=before.had_ray)
        found = [
            process
            for process in _started()
            if process.pid not in before.pids and not _belongs(process, before)
        ]
        _end(found)
        _close({process.pid for process in found})
        _forget_locals()
        gc.collect()


def _has_ray() -> bool:
    """Whether Ray is initialised in this process."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


def _end_actors(*, had_ray: bool) -> None:
    """Ray would start some of them again when their processes are killed."""
    if not _has_ray():
        return
    import ray

    if not had_ray:
        ray.shutdown()
        return
    for actor in ray.util.list_named_actors(all_namespaces=True):
        try:
            ray.kill(ray.get_actor(actor["name"], namespace=actor["namespace"]))
        except ValueError:  # gone since
            continue


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=GONE_WITHIN_S)


def _close(pids: set[int]) -> None:
    """Close the handles of processes that have been ended."""
    handles = [one for one in gc.get_objects() if issubclass(type(one), subprocess.Popen) and one.pid in pids]
    for handle in handles:
        handle.poll()
        for pipe in (handle.stdin, handle.stdout, handle.stderr):
            if pipe is not None:
                pipe.close()


def _forget_locals() -> None:
    """What only the last failure's traceback keeps open is closed now, and not in the middle of the next test."""
    last = getattr(sys, "last_traceback", None)
    traceback.clear_frames(last)
    for frame, _ in traceback.walk_tb(last):
        _ = frame.f_locals  # Python's copy of them, which pytest has asked for, becomes as empty as they are


def _belongs(process: psutil.Process, before: Before) -> bool:
    """Whether what was there before has started it since, as a Ray that others use renews its idle workers."""
    here = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    try:
        return any(parent.pid in before.pids - here for parent in process.parents())
    except psutil.Error:
        return False


def _started() -> list[psutil.Process]:
    """Processes of this session, at whatever depth, and those whose parents have gone."""
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and _is_ours(process)]


def _is_ours(process: psutil.Process) -> bool:
    try:
        words = " ".join(process.cmdline())
        if not words or "multiprocessing.resource_tracker" in words:  # ends with this process
            return False
        if process.environ().get(MARK) == os.environ[MARK]:
            return True
        # The scoring process has an empty environment.
        recent = process.create_time() >= psutil.Process().create_time()
        return recent and "swarm_ray.tasks.scoring_process" in words and _is_orphan_or_child(process)
    except psutil.Error:
        return False


def _is_orphan_or_child(process: psutil.Process) -> bool:
    parents = [parent.pid for parent in process.parents()]
    return parents in ([], [1]) or os.getpid() in parents


def _line(process: psutil.Process) -> str:
    try:
        return f"{process.pid}: {' '.join(process.cmdline())[:300]}"
    except psutil.Error:
        return f"{process.pid}: gone since"
