"""T2 and T3: a worker's machine is killed in the middle of a decode, and the coordinator's in the middle of a round."""

from __future__ import annotations

import pytest
from losses_for_tests import TWO, Played, play

pytestmark = [pytest.mark.machines, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(tmp_path_factory.mktemp("two"), TWO)


def test_every_round_closes_with_everybody_and_all_books_agree(played: Played) -> None:
    assert played.problems == []


def test_the_worker_goes_on_with_what_it_had(played: Played) -> None:
    """T2: weights and optimizer are compared bit for bit in `play`, rewards too."""
    (said,) = played.resumed
    assert said.startswith("goes on at step ")
    assert said.endswith("nothing lost")
    (step,) = [entry.step for entry in played.diary["worker-2"] if entry.what == "restored"]
    assert step >= 2
    after = [row for row in played.rows["worker-2"] if row.step >= step]
    assert sum(row.counters.used_from.get("worker-1", 0) > 0 for row in after) >= 0.8 * len(after)
    assert {row.incarnation for row in after} != {row.incarnation for row in played.rows["worker-2"]}


def test_the_swarm_knows_who_succeeded_its_coordinator(played: Played) -> None:
    """T3: the round never went back; `play` checks all records."""
    first = next(r for r, (epoch, _) in zip(played.records, played.places, strict=True) if epoch == 2)
    assert first.opens is not None
    assert first.opens.round >= TWO.coordinator_dies_at
