"""The paper's comparison on one machine: the same swarm with several splits of own and external rollouts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from drive_store import Store
from swarm_ray.config.load import load_config
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import ModelError, UserError
from swarm_ray.experiments import Comparison
from swarm_ray.experiments.folder import ExperimentAddress, read_identity
from swarm_ray.experiments.open import config_in_force
from swarm_ray.observe.reference_results import PAPER, ratio_to

if TYPE_CHECKING:
    import pandas as pd

PAPER_NODES = 8


def plan_splits(
    root: str, experiment: str, splits: str, preset: str, overrides: Sequence[str], nodes: int = 0
) -> dict[str, SwarmConfig]:
    """The configurations of a comparison, by the names of their experiments: `<experiment>-<I>-<J>`.

    Args:
        root: the folder for them.
        experiment: what their names begin with.
        splits: own and external rollouts, as in `8/0 6/2 4/4 2/6`.
        preset: what the configurations begin with.
        overrides: `key=value`, for all of them.
        nodes: of each swarm; 0 takes those of an existing experiment, else as many as fit on the device, at most 8 as
            in the paper.

    Raises:
        UserError: a split, key or value is impossible, or too few nodes fit.
        StoreError: the folder cannot be read.
    """
    pairs = {
        f"{experiment}-{own}-{others}": (own, others) for own, others in map(_read_split, splits.split())
    }
    if not pairs:
        raise UserError("name at least one split, such as 4/4")
    asked = {
        name: [*overrides, f"local={own}", f"external={others}"] for name, (own, others) in pairs.items()
    }
    if not nodes:
        # `nodes=2` makes external rollouts valid while the number is still unknown.
        configs = [load_config(preset, overrides=[*words, "nodes=2"]) for words in asked.values()]
        first = next(iter(_there(root, pairs)), None)
        there = config_in_force(Store(root), ExperimentAddress(root, first)).nodes if first else 0
        nodes = there or min(nodes_that_fit(config) for config in configs)
    return {name: load_config(preset, overrides=[*words, f"nodes={nodes}"]) for name, words in asked.items()}


def nodes_that_fit(config: SwarmConfig, most: int = PAPER_NODES) -> int:
    """How many nodes of this model the device of this machine holds, computed before anything is loaded.

    Args:
        config: says which model and device.
        most: upper limit of the result.

    Raises:
        ModelError: the model does not exist, or fewer than two nodes fit, so nothing could be shared.
        ConfigError: the device does not exist.
    """
    if config.policy.is_tiny:
        return most
    from swarm_ray.policies.huggingface import load_config as load_model_config
    from swarm_ray.policies.loading import choose_device, free_memory, memory_need

    device = choose_device(config.policy.device)
    need = memory_need(load_model_config(config.policy.model), config)
    fit = need.nodes_in(free_memory(device))
    if fit < 2:
        raise ModelError(
            f"{fit} nodes of {config.policy.model} fit on {device}, and a swarm needs 2 ({need.total(2):,} bytes): "
            "take a smaller model, a smaller policy.micro_batch_tokens or policy.generate_batch, or a larger GPU"
        )
    return min(fit, most)


def begun(root: str, names: Iterable[str]) -> list[str]:
    """Those of these experiments that exist.

    Raises:
        UserError: none exists.
        StoreError: the folder cannot be read.
    """
    found = _there(root, names)
    if not found:
        raise UserError(f"none of these experiments is in {root} yet: run them first")
    return found


def beside_paper(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """Cumulative rewards of own completions and their ratios to the first, beside the paper's.

    Args:
        comparisons: of the splits, the one without external rollouts first.

    Returns:
        A row per experiment, indexed by `I/J`. The paper's sums are over 8 nodes and 2000 rounds of one seed; only
        ratios are comparable, and only between runs of one size.
    """
    import pandas as pd

    baseline = comparisons[0]
    base = f"{baseline.local}/{baseline.external}"
    rows = {}
    for one in comparisons:
        split = f"{one.local}/{one.external}"
        rows[split] = {
            "experiment": one.experiment,
            "state": one.state,
            "cumulative reward": one.cumulative_reward,
            "rounds": one.rounds,
            f"to {base}": ratio_to(one, baseline),
            "paper": PAPER[split].cumulative_reward if split in PAPER else None,
            f"paper, to {base}": ratio_to(PAPER.get(split), PAPER.get(base)),
            "pass@1 before": one.pass_at_1_start,
            "pass@1 after": one.pass_at_1_end,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("I/J")


def _read_split(text: str) -> tuple[int, int]:
    own, slash, others = text.partition("/")
    if not (slash and own.isascii() and own.isdigit() and others.isascii() and others.isdigit()):
        raise UserError(f"{text!r} is not a split; give own and external rollouts, such as 4/4")
    return int(own), int(others)


def _there(root: str, names: Iterable[str]) -> list[str]:
    store = Store(root)
    return [name for name in names if read_identity(store, ExperimentAddress(root, name)) is not None]
