"""Every block of the README and of the documentation runs, in the order in which it is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from blocks_for_tests import HUB_MODEL, ROOT, Reader, blocks_of

RUN = ("sh", "python", "yaml")
SHOWN = ("", "text", "json")
"""Languages of blocks that show what is printed, or how files lie."""
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
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
    monkeypatch.setenv("RAY_ADDRESS", ray_session)
    found = blocks_of(page)
    stopped = any("swarm-ray stop" in block.text for block in found)
    places = {
        "/content/drive/MyDrive/swarm": str(tmp_path / "mount"),
        HUB_MODEL: hub_model,
    }
    (tmp_path / "mount").mkdir()
    monkeypatch.chdir(tmp_path)
    modules = any(block.file and block.file.endswith(".py") for block in found)
    reader = Reader(tmp_path, places, stopped, modules)
    try:
        for block in found:
            reader.follow(block)
        reader.end()
    finally:
        reader.give_up()


def test_the_repeating_pages_are_there() -> None:
    assert {page.stem for page in WITH_COMMANDS} > REPEATING


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_block_is_run_or_shows_something(page: Path) -> None:
    assert {block.language for block in blocks_of(page)} <= {*RUN, *SHOWN}
