"""A digest of what a fixed run learns: equal before and after a change that should change nothing.

Two trainers, a node each, 20 rounds in barrier pace, one torch thread. The run is made twice: undisturbed, and killed
in the middle (SIGKILL to the whole process tree) and resumed by the same command. Both give the same rewards, losses
and weights, bit for bit, on one machine and one version of torch:

    python benchmarks/digest.py

prints two lines, each with a digest of rewards, losses and weights, and exits with 1 if they differ.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from swarm_ray.experiments import experiment_metrics

ROUNDS = 20
KILLED_AFTER = 6
"""Rounds whose rewards are in the folder when the run is killed."""
WITHIN_S = 900.0
SETTINGS = [
    "nodes=2",
    "trainers=2",
    f"rounds={ROUNDS}",
    "local=2",
    "external=2",
    "completions=4",
    "policy.start=C1",
    "evaluation.questions=0",
    "alarm_rounds=1000",
    "pace.max_s=600",
    "pace.dead_after_s=600",
    "pace.settle_s=0.5",
    "pace.drain_s=120",
    "checkpoint.every=1",
    "slow_down_s=0.3",
]


def main() -> int:
    """Run both, print their digests, and compare them."""
    digests = []
    for name, killed in (("undisturbed", False), ("killed and resumed", True)):
        with tempfile.TemporaryDirectory(prefix="digest-") as folder:
            digests.append(_digest(Path(folder), killed=killed))
        print(f"{name:20} {digests[-1]}", flush=True)
    return int(digests[0] != digests[1])


def _digest(folder: Path, *, killed: bool) -> str:
    root = folder / "runs"
    if killed:
        process = _start(folder)
        _wait_for_rounds(root, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(2.0)  # Ray's own processes notice that their driver has gone
    process = _start(folder)
    if process.wait(WITHIN_S) != 0:
        raise SystemExit(f"the run failed: {(folder / 'log').read_text()[-2000:]}")
    rows = sorted(experiment_metrics(str(root), "digest"), key=lambda row: (row.node, row.step))
    if len(rows) != 2 * ROUNDS:
        raise SystemExit(f"expected {2 * ROUNDS} rows of metrics, found {len(rows)}")
    rewards = _sha(repr([(row.node, row.step, row.reward) for row in rows]).encode())
    losses = _sha(repr([(row.node, row.step, row.loss, row.grad_norm) for row in rows]).encode())
    return f"rewards {rewards}  losses {losses}  weights {_weights(root)}"


def _start(folder: Path) -> subprocess.Popen[bytes]:
    words = ["simulate", "--root", str(folder / "runs"), "--experiment", "digest", *SETTINGS]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "swarm_ray.cli", *words],
            env={**os.environ, "OMP_NUM_THREADS": "1", "SWARM_RAY_STATE": str(folder / "state")},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_for_rounds(root: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while len(list(root.glob("experiments/digest/rewards/**/*.json"))) < KILLED_AFTER:
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("the run ended or hung before it could be killed")
        time.sleep(0.05)


def _weights(root: Path) -> str:
    """Of each node the weights of its newest checkpoint."""
    newest: dict[str, tuple[str, Path]] = {}
    for file in root.glob("experiments/digest/checkpoints/*/step_*/weights.safetensors"):
        node, step = file.parent.parent.name.partition(".")[0], file.parent.name
        newest[node] = max(newest.get(node, (step, file)), (step, file), key=lambda found: found[0])
    if len(newest) != 2:
        raise SystemExit(f"expected checkpoints of 2 nodes, found {sorted(newest)}")
    return _sha(b"".join(newest[node][1].read_bytes() for node in sorted(newest)))


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
