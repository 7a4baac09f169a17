"""Every block of the README runs, in the order in which it is read."""

from pathlib import Path

import pytest
from blocks_for_tests import ROOT, RUN, SHOWN, blocks_of, do_all_of

README = ROOT / "README.md"


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_reader_can_do_all_of_it(
    ray_session: str, hub_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_all_of(README, ray_session, hub_model, tmp_path, monkeypatch)


def test_a_block_is_run_or_shows_something() -> None:
    assert {block.language for block in blocks_of(README)} <= {*RUN, *SHOWN}
