"""Checks and preparations before any actor starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from swarm_ray.config.schema import DirectConfig, PolicyConfig, TasksConfig, TrackingConfig
from swarm_ray.errors import ConfigError
from swarm_ray.exchange.hivemind import require_hivemind
from swarm_ray.exchange.hivemind.multiaddr import read_bootnodes
from swarm_ray.machine.local_disk import cache_folder
from swarm_ray.policies.tiny.starts import all_made, start_folder, start_index
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import Scorer
from swarm_ray.tracking.factory import require_trackers


def require_extras(tracking: TrackingConfig, exchange: str, direct: DirectConfig) -> None:
    """Check that runs can be tracked and rollouts exchanged as configured.

    Raises:
        UserError: a tracker or hivemind is required but not installed, or an initial peer is not a valid address.
    """
    require_trackers(tracking)
    if exchange == "hivemind":
        require_hivemind()
        read_bootnodes(direct)


def refuse_game(game: str) -> None:
    """Refuse to train a GenRL game by SAPO.

    Raises:
        ConfigError: it is one.
    """
    if game:
        raise ConfigError(
            f"the experiment plays {game}, a GenRL game: continue it with `swarm-ray genrl --recipe ...`, or "
            "take another --experiment name"
        )


def prepare_starts(
    policy: PolicyConfig,
    tasks: TasksConfig,
    nodes: Sequence[str],
    allowed_modules: tuple[str, ...] | None,
    report: Callable[[str, float], None],
) -> None:
    """Make the embedded model's starts before any actor runs.

    Raises:
        UserError: a task or device is not available.
    """
    questions, indices = TaskSet(tasks, allowed_modules=allowed_modules), [start_index(n) for n in nodes]
    home = start_folder(tasks, policy.start_seed, cache_folder())
    if policy.device == "auto" and all_made(home, policy.start, indices):
        return  # torch takes seconds to load and is not needed here
    from swarm_ray.policies.tiny.loading import TinyStart

    with Scorer(tasks, allowed_modules=allowed_modules) as verifier:
        TinyStart(policy, questions, verifier, cache_folder(), report).prepare(indices)
