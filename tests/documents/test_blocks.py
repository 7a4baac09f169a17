"""Every block of the documentation runs, in the order in which it is read; the README's are in a file of their own."""

from pathlib import Path

import pytest
from blocks_for_tests import ROOT, RUN, SHOWN, blocks_of, do_all_of

PAGES = sorted((ROOT / "docs").glob("*.md"))
WITH_COMMANDS = [page for page in PAGES if any(block.language in RUN for block in blocks_of(page))]
REPEATING = {"genrl", "looking", "recovery", "tracking", "tutorial"}
"""Pages that start swarms as the README or other tests do; the rest is run each time."""


@pytest.mark.ray
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.repeats] if page.stem in REPEATING else [], id=page.stem)
        for page in WITH_COMMANDS
    ],
)
def test_a_reader_can_do_all_of_it(
    page: Path, ray_session: str, hub_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_all_of(page, ray_session, hub_model, tmp_path, monkeypatch)


def test_the_repeating_pages_are_there() -> None:
    assert {page.stem for page in WITH_COMMANDS} > REPEATING


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_block_is_run_or_shows_something(page: Path) -> None:
    assert {block.language for block in blocks_of(page)} <= {*RUN, *SHOWN}
