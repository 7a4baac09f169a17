"""Real deaths of real actors, and the one line that each of them gives."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from swarm_ray.errors import ActorFailure, MissingResource, NodeFailure
from swarm_ray.machine.actor_errors import ActorDied, ActorRaised
from swarm_ray.machine.ray_actors import Share
from swarm_ray.runtime.failure_policy import FailurePolicy
from swarm_ray.runtime.supervision import Supervisor
from swarm_ray.runtime.worker import spawn

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]


def patient() -> Any:
    """An actor that waits to be struck; a class of a function's own, so that Ray sends it along."""

    class Patient:
        def __init__(self, module: str = "json") -> None:
            if module == "data":
                raise NodeFailure("the policy's logits are not finite")
            if module == "slow":
                time.sleep(60)
            else:
                __import__(module)

        def where(self) -> tuple[int, str]:
            return os.getpid(), str(ray.get_runtime_context().get_node_id())

        def run(self) -> str:
            while True:
                time.sleep(1)

    return ray.remote(max_restarts=0, max_concurrency=2)(Patient)


def watched(restarts: int, within_s: float, share: Share, *arguments: str) -> tuple[Supervisor, list[str]]:
    said: list[str] = []
    supervisor = Supervisor(FailurePolicy(restarts), None, lambda role, text: said.append(text), within_s)
    actor = patient()

    def make() -> Any:
        return spawn(actor, "trainer-0/here", "causes", *arguments, share=share)

    supervisor.start("trainer-0", make, share=share)
    return supervisor, said


def watch_until(supervisor: Supervisor, done: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        supervisor.watch(0.1)


def watch_until_it_ends(supervisor: Supervisor) -> None:
    try:
        watch_until(supervisor, lambda: False)
    finally:
        supervisor.end()


def up(supervisor: Supervisor) -> int:
    """The process of the actor, once it has come up."""
    watch_until(supervisor, lambda: not supervisor.starting())
    return supervisor._memory._processes["trainer-0"].pid


def test_a_killed_process_is_started_again_and_then_named() -> None:
    supervisor, said = watched(1, 60, Share(0, 0))
    os.kill(first := up(supervisor), signal.SIGKILL)
    watch_until(supervisor, lambda: said)
    assert "trainer-0 died: its worker process has died" in said[0]
    assert "it is started again in 1 s" in said[0]
    os.kill(second := up(supervisor), signal.SIGKILL)
    assert first != second
    with pytest.raises(ActorDied, match=r"resident memory 0.* it was killed by a signal, or it crashed"):
        watch_until_it_ends(supervisor)


@pytest.mark.parametrize(
    ("made_of", "error", "says"),
    [
        (
            "not_there_at_all",
            ActorRaised,
            "trainer-0: ModuleNotFoundError: No module named 'not_there_at_all'",
        ),
        ("data", NodeFailure, "logits are not finite"),
    ],
)
def test_what_fails_in_the_making_ends_the_run(made_of: str, error: type[Exception], says: str) -> None:
    supervisor, said = watched(5, 60, Share(0, 0), made_of)
    with pytest.raises(error, match=says):
        watch_until_it_ends(supervisor)
    assert said == []


def test_an_actor_that_takes_long_to_come_up_is_not_told_to_lack_a_place() -> None:
    supervisor, _ = watched(5, 5.0, Share(0, 0), "slow")
    with pytest.raises(ActorFailure, match=r"trainer-0 has its place .* not come up within 5 s") as caught:
        watch_until_it_ends(supervisor)
    assert not isinstance(caught.value, MissingResource)
    assert "s of CPU time" in str(caught.value)


def test_an_actor_without_a_place_says_what_it_asked_for_and_what_there_is() -> None:
    supervisor, _ = watched(5, 1.0, Share(1, 2))
    with pytest.raises(MissingResource) as caught:
        watch_until_it_ends(supervisor)
    asked = "trainer-0 did not start within 1 s: each asks for 1 CPU and 2 GPU"
    for part in (asked, "0 of 0 GPU", "trainer-0/here (causes)"):
        assert part in str(caught.value)


def test_rays_memory_monitor_is_named_with_its_figures(tmp_path: Path) -> None:
    """In a process of its own, whose Ray ends what takes the machine's memory 1.5 GB above what it is now."""
    script = tmp_path / "hungry.py"
    script.write_text(
        textwrap.dedent("""
            import os, psutil, time
            memory = psutil.virtual_memory()
            limit = (memory.total - memory.available + 1.5e9) / memory.total
            os.environ["RAY_memory_usage_threshold"] = str(limit)
            os.environ["RAY_memory_monitor_refresh_ms"] = "100"
            import ray
            from swarm_ray.machine import ray_actors, ray_instance
            from swarm_ray.errors import OutOfMemory
            instance = ray_instance.RayInstance()
            instance.wait()

            class Hungry:
                def eat(self):
                    eaten = []
                    for _ in range(100):
                        eaten.append(os.urandom(1000) * 50_000)
                        time.sleep(0.05)

            call = ray.remote(Hungry).options(num_cpus=0).remote().eat.remote()
            try:
                ray_actors.result_of(call, 60)
            except OutOfMemory as error:
                print(error)
            instance.close()
        """)
    )
    command, environment = (
        [sys.executable, str(script)],
        {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert "ended by Ray because" in done.stdout
    assert "by this process: host fewer nodes" in done.stdout
