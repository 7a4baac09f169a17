"""The HTML page of a report and of a sweep: its parts, and the one template that shows them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from importlib import resources

import jinja2

from swarm_ray.experiments.read.rollouts import Sample
from swarm_ray.machine.versions import installed_versions
from swarm_ray.observe.report.chart import COLOURS, FAINT, GRID, INK, STACKED, Chart
from swarm_ray.observe.report.findings import Finding

LONGEST = 4000
"""Characters of one completion or question that a page holds."""
MOST_COMPLETIONS = 8
"""Of one rollout that a page holds."""
HEAD = 140
"""Of them, what is seen before it is unfolded."""
_IDS = re.compile(r'\bid="([^"]+)"')
_LINKS = re.compile(r'((?:xlink:)?href="#|url\(#)([^")]+)')
_HEAD = re.compile(r"<svg\b[^>]*>")
_VIEW = re.compile(r'viewBox="([^"]+)"')
_DROPPED = re.compile(r"<metadata>.*?</metadata>|<!--.*?-->|<style\b[^>]*>.*?</style>", re.DOTALL)
_HEX = re.compile(r"#[0-9a-fA-F]{6}\b")
_PRECISE = re.compile(r"-?\d+\.\d{3,}")


NOTHING = "\N{EN DASH}"
ARROW = " \N{RIGHTWARDS ARROW} "
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class Table:
    """Rows of text under heads."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: frozenset[int] = frozenset({0})
    """Columns that hold words and are set flush left; numbers are set flush right."""
    note: str = ""
    stacked: bool = False
    """Whether cells may have a second line, which is set smaller."""


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    id: str
    title: str
    said: tuple[str, ...] = ()
    """Paragraphs."""
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    folded: tuple[tuple[str, str], ...] = ()
    """Long texts by their titles, unfolded on request."""
    samples: tuple[tuple[str, tuple[Sample, ...]], ...] = ()
    """Experiment to rollouts."""


@dataclass(frozen=True)
class Page:
    """A whole page."""

    kind: str
    """report or sweep."""
    mark: str
    """Markup by which Swarm Ray knows the file as its own."""
    title: str
    findings: Sequence[Finding]
    summary: Table
    sections: Sequence[Section]
    remarks: Sequence[tuple[str, Sequence[str]]] = ()
    """Boxes below the summary: a heading, and lines of text."""
    details: Sequence[str] = ()
    """Parts of the line below the title."""
    caution: str = ""
    """A paragraph below the summary."""
    wide: Finding | None = None
    """The finding that takes the whole width."""

    def html(self) -> str:
        """The document, which loads nothing from elsewhere."""
        environment = jinja2.Environment(
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_finalized,
        )
        environment.globals |= {"head": head, "inlined": _inlined, "most_completions": MOST_COMPLETIONS}
        package = resources.files("swarm_ray.observe.report")
        template = environment.from_string(package.joinpath("page.html").read_text(encoding="utf-8"))
        written = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        version = installed_versions().get("swarm-ray", "")
        style = package.joinpath("page.css").read_text(encoding="utf-8")
        details = [f"Written {written} by swarm-ray {version}", *self.details]
        return template.render(page=self, style=style, details=details)


def change(start: float | None, end: float | None) -> str:
    """Two shares, before and after; a dash for one that is not known."""
    return ARROW.join(NOTHING if value is None else f"{value:.3f}" for value in (start, end))


def times(ratio: float | None) -> str:
    """A ratio, or a dash."""
    return NOTHING if ratio is None else f"{ratio:.2f} {TIMES}"


def visible(text: str, most: int = LONGEST) -> str:
    """Text with its line ends, and every other invisible character written as its number.

    What escapes markup is jinja's part; this is about control characters, which would turn the direction of a line or
    cannot stand in a page at all.
    """
    shown = "".join(c if c.isprintable() or c == "\n" else _number(c) for c in text[:most])
    more = len(text) - most
    return shown if more <= 0 else f"{shown}\N{HORIZONTAL ELLIPSIS} ({more} more characters)"


def head(text: str) -> str:
    """The beginning of a long text on one line; empty where a short one can be shown whole."""
    line = " ".join(text.split())
    short = len(line) <= HEAD and text.count("\n") < 4
    return "" if short else f"{line[:HEAD]}\N{HORIZONTAL ELLIPSIS}"


def _number(letter: str) -> str:
    code = ord(letter)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def theme_colours() -> dict[str, str]:
    """Colours in which figures are drawn, to the variables of the page that take their place."""
    series = enumerate(dict.fromkeys((*COLOURS, *STACKED)))
    named = {INK: "--ink", FAINT: "--faint", GRID: "--line", **{c: f"--series-{n}" for n, c in series}}
    return {colour.lower(): f"var({name})" for colour, name in named.items()}


def inlined(svg: str, prefix: str, title: str) -> str:
    """An SVG element that can stand in a page beside others.

    Args:
        svg: a document as matplotlib writes it.
        prefix: goes before every id, so that no two figures of a page share one.
        title: what is drawn, for those who cannot see it.
    """
    body = svg[svg.index("<svg") :]
    view = _VIEW.search(body)
    body = _DROPPED.sub("", body)
    body = _IDS.sub(rf'id="{prefix}\1"', body)
    body = _LINKS.sub(rf"\1{prefix}\2", body)
    colours = theme_colours()
    body = _HEX.sub(lambda found: colours.get(found[0].lower(), found[0]), body)
    body = _PRECISE.sub(lambda found: f"{float(found[0]):.2f}", body)
    head = f'<svg viewBox="{view[1] if view else ""}" role="img" aria-label="{escape(title)}">'
    return _HEAD.sub(lambda _: head, body, count=1).strip()


def _finalized(value: object) -> object:
    """Text without invisible characters; what is markup already stays."""
    return visible(value, len(value)) if type(value) is str else value


def _inlined(chart: Chart) -> str:
    return inlined(chart.svg(), f"{chart.slug}-", f"{chart.title}. {chart.caption}")
