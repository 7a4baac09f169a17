"""A spread of the kill matrix that strikes every victim and every phase; `make kill-matrix` has all cells."""

from __future__ import annotations

import pytest
from cells_for_tests import PHASES, VICTIMS, Undisturbed, run_cell, run_undisturbed

pytestmark = pytest.mark.machines

SPREAD = [
    ("trainer", "update"),
    ("tree", "publish"),
    ("raylet", "generate"),
    ("coordinator", "gather"),
    ("logger", "manifest"),
    ("discovery", "folder-manifest"),
    ("trainer", "upload"),
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return run_undisturbed(tmp_path_factory.mktemp("undisturbed"))


def test_the_spread_has_every_victim_and_every_phase() -> None:
    assert {victim for victim, _ in SPREAD} == set(VICTIMS)
    assert {phase for _, phase in SPREAD} == set(PHASES)


@pytest.mark.parametrize(("victim", "phase"), SPREAD)
def test_a_run_that_loses_a_process_equals_one_that_does_not(
    tmp_path_factory: pytest.TempPathFactory, undisturbed: Undisturbed, victim: str, phase: str
) -> None:
    outcome = run_cell(tmp_path_factory.mktemp("cell"), victim, phase, undisturbed)
    assert outcome.problems == []
