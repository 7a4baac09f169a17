"""What the doctor finds, as data and as text for people, and the settings and the verdict that follow from it.

A setting is never below the default that fits the folder: what a quarter of an hour did not show may come later
(outages of half an hour are reported of Drive), and only what was measured to be slow makes a setting larger.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from math import ceil
from typing import Literal

import msgspec

OK: Literal["OK"] = "OK"
WARN: Literal["WARN"] = "WARN"
FAIL: Literal["FAIL"] = "FAIL"
Level = Literal["OK", "WARN", "FAIL"]
_RANK: tuple[Level, ...] = (OK, WARN, FAIL)


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    check: str
    """What was looked at, in a word or two."""
    level: Level
    """OK; WARN: a swarm can run, and the advice says what it will meet; FAIL: a swarm cannot run like this."""
    found: str
    advice: str = ""
    """What to do; "" where there is nothing to do."""
    figures: dict[str, float] = {}
    """What was measured; the unit is the end of each name (`_s`, `_bytes`)."""


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """All that one examination found."""

    root: str
    session: str
    """Its folder below `<root>/check`."""
    id: str
    """The machine's own id in that session."""
    level: Level
    """The worst of the findings."""
    verdict: str
    """Whether a swarm can run here, in words."""
    findings: tuple[Finding, ...]
    preset: str
    """Whose defaults `settings` go by: "colab" for slow folders and those not measured, else "tiny"."""
    settings: tuple[str, ...]
    """Overrides of a swarm's configuration, `key=value`; () where the folder cannot be used."""
    report: str = ""
    """Path of these findings in the folder; "" where they could not be written."""
    remains_bytes: int = 0
    """Bytes of its own files that could not be removed; the report is not among them."""

    def of(self, check: str) -> Finding:
        """The finding of one check.

        Raises:
            KeyError: nothing was found about it.
        """
        return {finding.check: finding for finding in self.findings}[check]


def worst(findings: Sequence[Finding]) -> Level:
    """The worst level among findings; OK without any."""
    return max((finding.level for finding in findings), key=_RANK.index, default=OK)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all values does not exceed (nearest rank).

    With fewer than 100 values the 99th percentile is the largest of them, and says no more than that.

    Args:
        values: at least one.
        share: above 0, at most 1.
    """
    ranked = sorted(values)
    return ranked[max(0, ceil(share * len(ranked)) - 1)]


def spread_of(values: Sequence[float], name: str) -> dict[str, float]:
    """Figures of a list of seconds: `<name>_p50_s`, `_p90_s`, `_p99_s`, `_max_s`, and `<name>_samples`."""
    figures = {f"{name}_samples": float(len(values))}
    if values:
        for label, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)):
            figures[f"{name}_{label}_s"] = round(percentile(values, share), 6)
    return figures


def seconds(value: float) -> str:
    """A duration for people: under 1 ms, 35 ms, 2.5 s, 95 s, 12 min."""
    if value < 1:
        return "under 1 ms" if value < 0.001 else f"{value * 1000:.0f} ms"
    if value < 10:
        return f"{value:.1f}".removesuffix(".0") + " s"
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"


def size_text(number: float) -> str:
    """Bytes for people: 512 B, 94 kB, 12.3 GB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= scale:
            return f"{number / scale:.1f} {unit}"
    return f"{number:.0f} B"


WIDTH = 100
"""Columns of a text that nobody asked otherwise for."""
_LEAST = 40
_LEVEL = 5


def findings_text(findings: Findings, *, width: int = WIDTH) -> str:
    """The findings in lines: level, what was looked at, what was found, and what to do.

    Args:
        findings: of one examination.
        width: columns of the text, 40 at least.
    """
    width = max(_LEAST, width)
    name = max(len(finding.check) for finding in findings.findings) + 2
    beneath = _LEVEL + name if width >= 2 * _LEAST else _LEVEL
    lines = [f"folder {findings.root}", ""]
    for finding in findings.findings:
        head = f"{finding.level:<{_LEVEL}}{finding.check:<{name}}"
        lines += _wrapped(finding.found, head, beneath, width)
        lines += _wrapped(finding.advice, " " * beneath + "-> ", beneath + 3, width) if finding.advice else []
    lines += ["", *_wrapped(findings.verdict, "", 0, width)]
    if findings.settings:
        lines += ["", f"settings, over the preset {findings.preset}:"]
        lines += _wrapped(" ".join(findings.settings), "  ", 2, width)
    if findings.report:
        lines += ["", f"report: {findings.report}"]
    if findings.remains_bytes:
        where = f"{findings.root}/check/{findings.session}/{findings.id}"
        lines.append(f"{size_text(findings.remains_bytes)} could not be removed from {where}")
    # Names in the folder may be anybody's, and must not steer a terminal.
    shown = ("".join(letter if letter.isprintable() else " " for letter in line) for line in lines)
    return "".join(f"{line.rstrip()}\n" for line in shown)


def figures_text(findings: Findings) -> str:
    """Every figure that was measured, a line each: what was looked at, the figure's name with its unit, its value."""
    rows = [
        (finding.check, name, value)
        for finding in findings.findings
        for name, value in finding.figures.items()
    ]
    check = max((len(row[0]) for row in rows), default=0) + 2
    name = max((len(row[1]) for row in rows), default=0) + 2
    return "".join(f"{row[0]:<{check}}{row[1]:<{name}}{row[2]:,.6g}\n" for row in rows)


def _wrapped(text: str, head: str, beneath: int, width: int) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=head,
        subsequent_indent=" " * beneath,
        break_long_words=False,
        break_on_hyphens=False,
    )


FAST_P99_S = 2.0
"""A folder whose 99th percentile is above this is slow."""
_FAST = {"settle_s": 5, "retry_s": 120, "dead_after_s": 20, "poll_max_s": 1}
_SLOW = {"settle_s": 120, "retry_s": 600, "dead_after_s": 600, "poll_max_s": 30}
MEETING = "other machine"
"""The check that fails where nobody was met."""
_LEAST_POLL_S = 5
"""Seconds between two looks at a slow folder, each of which may be a request to Drive."""
_FEW = 100
"""With fewer samples a 99th percentile is only the largest of them."""


def is_slow(p99_s: float | None, *, drive: bool, own_disk: bool) -> bool:
    """Say whether a folder needs the settings of a slow one.

    Args:
        p99_s: seconds that a file takes to another machine (99th percentile); None where that was not measured.
        drive: it is one of Google Drive, whose good hours prove nothing.
        own_disk: it is on the machine's own disk, so that no other machine sees it.
    """
    return drive or (not own_disk if p99_s is None else p99_s > FAST_P99_S)


def settings(p50_s: float | None, p99_s: float | None, samples: int, *, slow: bool) -> dict[str, int]:
    """Settings of the pace, in whole seconds.

    Args:
        p50_s: median of the seconds that a file takes to another machine; None where that was not measured.
        p99_s: 99th percentile of the same.
        samples: how many were measured.
        slow: what `is_slow` says.

    Returns:
        `settle_s` at least p99, or twice that where the samples are few; `retry_s` and `dead_after_s` at least three
        times that; `poll_max_s` half the median, and at most the default: to look more often shows nothing sooner.
    """
    least = dict(_SLOW if slow else _FAST)
    if p50_s is not None:
        least["poll_max_s"] = min(least["poll_max_s"], max(_LEAST_POLL_S if slow else 1, ceil(p50_s / 2)))
    if p99_s is None:
        return least
    long = p99_s if samples >= _FEW else 2 * p99_s
    return least | {
        "settle_s": max(least["settle_s"], ceil(long)),
        "retry_s": max(least["retry_s"], ceil(3 * long)),
        "dead_after_s": max(least["dead_after_s"], ceil(3 * long)),
    }


def verdict(findings: Sequence[Finding], p99_s: float | None, *, paired: bool) -> str:
    """Whether a swarm can run here, in words."""
    level = worst(findings)
    named = ", ".join(finding.check for finding in findings if finding.level == level)
    if level == FAIL and named == MEETING:
        return "Whether a swarm can run here is not known: the other machine was not met."
    if level == FAIL:
        return f"A swarm cannot run here as it is: {named}."
    warned = "" if level == OK else f" Mind the warnings: {named}."
    if p99_s is not None:
        return f"A swarm can run here; a file takes up to {seconds(p99_s)} to the other machine.{warned}"
    how = "start the other end on another machine" if paired else "run the doctor on two, with a pair's name"
    return f"This machine can work with the folder. What other machines see was not measured: {how}.{warned}"
