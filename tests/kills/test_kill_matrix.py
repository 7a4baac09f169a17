"""Runs that lose one process after the other; `make kill-matrix` has every victim in every phase."""

import pytest
from cells_for_tests import PHASES, VICTIMS, Cell, run_cells, run_undisturbed

pytestmark = [pytest.mark.machines, pytest.mark.timeout(600)]

VICTIMS_ONCE = [
    ("trainer", "update"),
    ("logger", "manifest"),
    ("discovery", "folder-manifest"),
    ("coordinator", "gather"),
    ("raylet", "generate"),
]
"""One after the other in one run, so that a start is paid for once; `test_machines_lost` strikes whole trees."""
PHASES_ONCE = [*VICTIMS_ONCE, ("trainer", "upload"), ("tree", "publish")]
ROUNDS_EACH = 4


def test_every_victim_and_every_phase_is_struck() -> None:
    assert {victim for victim, _ in VICTIMS_ONCE} == set(VICTIMS) - {"tree"}
    assert {victim for victim, _ in PHASES_ONCE} == set(VICTIMS)
    assert {phase for _, phase in PHASES_ONCE} == set(PHASES)


@pytest.mark.parametrize(
    "cells",
    [VICTIMS_ONCE, pytest.param(PHASES_ONCE, marks=pytest.mark.repeats)],
    ids=["every-victim", "every-phase"],
)
def test_a_run_that_loses_one_process_after_the_other_equals_one_that_loses_none(
    cells: list[Cell], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Losses, rewards and weights of every step, bit for bit; every row once; nothing left behind."""
    undisturbed = run_undisturbed(tmp_path_factory.mktemp("undisturbed"), ROUNDS_EACH * len(cells))
    outcome = run_cells(tmp_path_factory.mktemp("struck"), cells, undisturbed)
    assert outcome.problems == []
    assert len(outcome.next_round_s) == len(cells)
