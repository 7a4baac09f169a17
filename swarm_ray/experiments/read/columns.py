"""Columns of the frames of `swarm_ray.experiments.read.frames`, each with its type in pandas."""

from __future__ import annotations

from swarm_ray.sapo.phases import PHASES

STEPS = {
    "round": "int64",
    "node": "str",
    "step": "int64",
    "incarnation": "str",
    "reward": "float64",
    "reward_mixed": "float64",
    "local": "int64",
    "external": "int64",
    "external_offered": "int64",
    "external_rejected": "int64",
    "zero_advantage_local": "int64",
    "zero_advantage_external": "int64",
    "generated_tokens": "int64",
    "trained": "bool",
    "loss": "float64",
    "clip_share": "float64",
    "entropy_nats": "float64",
    "grad_norm": "float64",
    "unfaithful": "float64",
    "scoring_failures": "int64",
    "alone": "bool",
    "replayed": "bool",
    "seconds": "float64",
    **{f"{phase}_s": "float64" for phase in PHASES},
}
"""Columns of `metrics_frame`."""
ROUNDS = {
    "round": "int64",
    "stage": "int64",
    "reward": "float64",
    "reward_min": "float64",
    "reward_max": "float64",
    "reward_sum": "float64",
    "cumulative_reward": "float64",
    "accepted": "int64",
    "missing": "int64",
    "late": "int64",
    "superseded": "int64",
    "rejected": "int64",
    "informative": "int64",
    "external": "Int64",
    "generated_tokens": "Int64",
    "seconds": "float64",
    "elapsed_s": "float64",
}
"""Columns of `rounds_frame`, the index first."""
NODES = {
    "node": "str",
    "round": "int64",
    "step": "int64",
    "reward": "float64",
    "cumulative_reward": "float64",
    "external_offered": "int64",
    "external_used": "int64",
    "external_rejected": "int64",
    "generated_tokens": "int64",
    "pass_at_1_start": "float64",
    "pass_at_1_end": "float64",
    "last_seen_s": "float64",
    "unanswered": "int64",
    "alone": "bool",
    "recovered": "str",
    "problem": "str",
}
"""Columns of `nodes_frame`, the index first."""
SPECIALTIES = {
    "round": "int64",
    "node": "str",
    "step": "int64",
    "specialty": "str",
    "reward": "float64",
}
"""Columns of `specialties_frame`."""
EXPERIMENTS = {
    "experiment": "str",
    "state": "str",
    "round": "int64",
    "rounds": "Int64",
    "nodes": "int64",
    "local": "Int64",
    "external": "Int64",
    "completions": "Int64",
    "seed": "Int64",
    "created_at": "datetime64[ns, UTC]",
    "learned_nothing": "bool",
    "problem": "str",
}
"""Columns of `experiments_frame`, the index first."""
COMPARISONS = {
    "experiment": "str",
    "nodes": "int64",
    "rounds": "int64",
    "local": "int64",
    "external": "int64",
    "completions": "int64",
    "cumulative_reward": "float64",
    "reward_first": "float64",
    "reward_last": "float64",
    "pass_at_1_start": "float64",
    "pass_at_1_end": "float64",
    "generated_tokens": "int64",
    "seconds": "float64",
    "external_used": "int64",
    "state": "str",
    "learned_nothing": "bool",
}
"""Columns of `comparison_frame`, the index first."""
