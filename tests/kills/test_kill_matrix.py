"""A spread of the kill matrix that strikes every victim and every phase; `make kill-matrix` has all cells."""

from __future__ import annotations

import pytest
from cells_for_tests import PHASES, VICTIMS, run_cells, run_undisturbed

pytestmark = [pytest.mark.machines, pytest.mark.timeout(600)]

SPREAD = [
    ("trainer", "update"),
    ("logger", "manifest"),
    ("discovery", "folder-manifest"),
    ("coordinator", "gather"),
    ("trainer", "upload"),
    ("raylet", "generate"),
    ("tree", "publish"),
]
"""One after the other in one run, so that a start is paid for once."""
ROUNDS = 4 * len(SPREAD)


def test_the_spread_has_every_victim_and_every_phase() -> None:
    assert {victim for victim, _ in SPREAD} == set(VICTIMS)
    assert {phase for _, phase in SPREAD} == set(PHASES)


def test_a_run_that_loses_one_process_after_the_other_equals_one_that_loses_none(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Losses, rewards and weights of every step, bit for bit; every row once; nothing left behind."""
    undisturbed = run_undisturbed(tmp_path_factory.mktemp("undisturbed"), ROUNDS)
    outcome = run_cells(tmp_path_factory.mktemp("struck"), SPREAD, undisturbed)
    assert outcome.problems == []
    assert len(outcome.next_round_s) == len(SPREAD)
