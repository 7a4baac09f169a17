"""The report as a browser shows it: no network, no overflow, two themes that can be read."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from reports_for_tests import HOSTILE, config_of, full

from swarm_ray.observe.report import write_report

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic")
COLOURS = """() => {
  const parse = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return parse(colour);
    }
  };
  const found = {};
  for (const selector of ['h1', '.note', '.said', '.finding h3', '.finding li', 'td', 'th', 'nav a', '.brand', 'pre']) {
    const element = document.querySelector(selector);
    found[selector] = [parse(getComputedStyle(element).color), behind(element)];
  }
  const text = document.querySelector('.chart svg text');
  found['svg text'] = [parse(getComputedStyle(text).fill), behind(text.closest('.chart'))];
  const line = document.querySelector('.chart svg [style*="stroke: var(--series-0)"]');
  found['svg line'] = [parse(getComputedStyle(line).stroke), behind(line.closest('.chart'))];
  return found;
}"""
LONG_NAME = "a-name-of-sixty-three-characters-as-long-as-a-name-can-ever-be-x"[:63]
Colour = list[float]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.fail("Chromium is not installed; on Debian and Ubuntu: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of a run with hostile completions, and of its baseline."""
    root = tmp_path_factory.mktemp("a folder")
    full(root, LONG_NAME, config_of(), text=HOSTILE)
    full(root, "alone", config_of("local=8", "external=0"), rising=0.01)
    return write_report(str(root), [LONG_NAME, "alone"], root / "the page.html")


def opened(browser: Browser, report: Path, width: int, scheme: str) -> tuple[Page, list[str], list[str]]:
    """The page, what the console said, and what was asked for."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    return page, said, asked


def contrast(one: Colour, other: Colour) -> float:
    """As WCAG 2 has it."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: Colour) -> float:
    parts = [v / 255 for v in colour]
    red, green, blue = (v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("width", [380, 768, 1400, 1600])
def test_it_fits_and_asks_for_nothing(browser: Browser, report: Path, width: int) -> None:
    page, said, asked = opened(browser, report, width, "light")
    for details in page.locator("details").all():
        details.evaluate("one => { one.open = true }")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.evaluate(
        """() => [...document.querySelectorAll('main *')]
            .filter(one => !one.closest('.scroll, svg') && one.getBoundingClientRect().right > innerWidth + 1)
            .map(one => one.outerHTML.slice(0, 80))"""
    )
    assert wide == []
    beside = page.evaluate(
        """() => [...document.querySelectorAll('.chart svg text')].filter(one => {
            const [text, card] = [one, one.closest('.chart')].map(each => each.getBoundingClientRect());
            return text.left < card.left || text.right > card.right;
        }).map(one => one.textContent)"""
    )
    assert beside == []
    figures = page.locator(".chart svg").all()
    sizes = [box for figure in figures if (box := figure.bounding_box()) is not None]
    assert len(sizes) == 8
    assert all(size["width"] > 250 and size["height"] > 80 for size in sizes)
    assert said == []
    assert asked == [report.as_uri()]
    page.context.close()


def test_both_themes_can_be_read_and_chosen(browser: Browser, report: Path) -> None:
    page, said, _ = opened(browser, report, 1400, "light")
    light = page.evaluate(COLOURS)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(COLOURS)
    for found in (light, dark):
        poor = {
            what: pair for what, pair in found.items() if contrast(*pair) < (3 if what == "svg line" else 4.5)
        }
        assert poor == {}
    assert all(light[what][0] != dark[what][0] for what in light)
    page.get_by_text("Light", exact=True).click()
    assert page.evaluate(COLOURS) == light
    page.emulate_media(color_scheme="light")
    page.get_by_text("Dark", exact=True).click()
    assert page.evaluate(COLOURS) == dark
    page.get_by_text("Auto", exact=True).click()
    assert page.evaluate(COLOURS) == light
    assert said == []
    page.context.close()


def test_contents_stay_in_sight_and_long_texts_unfold(browser: Browser, report: Path) -> None:
    page, _, _ = opened(browser, report, 1400, "light")
    page.get_by_role("link", name="Rollouts to read").click()
    box = page.locator("nav ol").bounding_box()
    assert box is not None
    assert 0 <= box["y"] < 200
    completion = page.locator(".sample details").first
    inside = completion.locator("pre")
    assert not inside.is_visible()
    completion.locator("summary").click()
    assert inside.is_visible()
    assert "<script>alert(1)</script></style></details>\\x1b[31m" in inside.inner_text()
    assert page.locator("script").count() == 0
    page.context.close()


def test_it_prints_on_white(browser: Browser, report: Path) -> None:
    page, _, _ = opened(browser, report, 1000, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("nav").is_hidden()
    colour = page.evaluate(
        "getComputedStyle(document.querySelector('.said')).color.match(/[\\d.]+/g).map(Number)"
    )
    assert contrast(colour[:3], [255.0, 255.0, 255.0]) > 7
    page.context.close()
