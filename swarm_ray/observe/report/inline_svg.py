"""SVG documents of matplotlib as parts of a page: ids of their own, and colours that follow the theme."""

from __future__ import annotations

import re
from html import escape

from swarm_ray.observe.report.chart import FAINT, GRID, INK, STACKED
from swarm_ray.observe.report.reward_figure import COLOURS

_IDS = re.compile(r'\bid="([^"]+)"')
_LINKS = re.compile(r'((?:xlink:)?href="#|url\(#)([^")]+)')
_HEAD = re.compile(r"<svg\b[^>]*>")
_VIEW = re.compile(r'viewBox="([^"]+)"')
_DROPPED = re.compile(r"<metadata>.*?</metadata>|<!--.*?-->|<style\b[^>]*>.*?</style>", re.DOTALL)
_HEX = re.compile(r"#[0-9a-fA-F]{6}\b")
_PRECISE = re.compile(r"-?\d+\.\d{3,}")


def theme_colours() -> dict[str, str]:
    """Colours in which figures are drawn, to the variables of the page that take their place."""
    named = {INK: "--ink", FAINT: "--faint", GRID: "--line"}
    named |= {
        colour: f"--series-{number}" for number, colour in enumerate(dict.fromkeys((*COLOURS, *STACKED)))
    }
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
