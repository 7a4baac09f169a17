"""Plays GenRL's games as one node over a folder, without Ray; as a process: `player_for_tests.py ROOT NODE`."""

import json
import os
import sys
from typing import Any

import torch
from games_for_tests import DATASETS, Rows, math_manager, rgym_manager, tiny_policy

from swarm_ray.genrl.communication import GameCoordinator
from swarm_ray.genrl.folder_communication import FolderCommunication
from swarm_ray.genrl.policy_trainer import PolicyTrainer
from swarm_ray.genrl.rgym import GymDataManager
from swarm_ray.tasks.scoring import Scorer

ROUNDS = 3
DEADLINE_S = 60.0


def play_both(root: str, node: str, verifier: Scorer) -> dict[str, dict[str, Any]]:
    """Play three rounds of each game; what was made of the other node's rollouts, by game."""
    torch.set_num_threads(1)
    seed = int(node[-1])
    told = {}
    for game in ("rgym", "math"):
        rows = Rows()
        with FolderCommunication(root, game, node, nodes=2, deadline_s=DEADLINE_S) as communication:
            more = {"rounds": ROUNDS, "recorder": rows, "coordinator": GameCoordinator(communication)}
            if game == "rgym":
                # One digit, 32 times: some are right, and not all.
                trainer = PolicyTrainer(tiny_policy(seed, tokens=1), 32, seed=seed, node=node)
                manager = rgym_manager(communication, verifier, seed=seed, trainer=trainer, **more)
            else:
                manager = math_manager(communication, **more)
            communication.put({"played by": node, 7: (1, 2)}, b"solver")
            manager.run_game()
            shown = {peer: value["played by"] for peer, value in communication.get(b"solver").items()}
        told[game] = _told(rows, shown)
    return told


def main(root: str, node: str) -> None:
    """Play with a scoring process of its own, and print what was told."""
    data = GymDataManager(DATASETS, answer="whole", verifier=object())  # type: ignore[arg-type]
    with Scorer(data.questions.config) as verifier:
        sys.stdout.write(f"{json.dumps(play_both(root, node, verifier))}\n")


def _told(rows: Rows, shown: dict[str, str]) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "rounds": [row.round for row in rows.rows],
        "offered": sum(row.counters.offered for row in rows.rows),
        "external": sum(row.external for row in rows.rows),
        "used_from": sorted({peer for row in rows.rows for peer in row.counters.used_from}),
        "shown": shown,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
