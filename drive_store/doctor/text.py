"""Findings as text for people, of any width."""

from __future__ import annotations

import textwrap

from drive_store.doctor.findings import Findings, size_text

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
    lines += _left(findings)
    return "".join(f"{_clean(line).rstrip()}\n" for line in lines)


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


def _left(findings: Findings) -> list[str]:
    lines = ["", f"report: {findings.report}"] if findings.report else []
    if findings.remains_bytes:
        where = f"{findings.root}/check/{findings.session}/{findings.id}"
        lines.append(f"{size_text(findings.remains_bytes)} could not be removed from {where}")
    return lines


def _wrapped(text: str, head: str, beneath: int, width: int) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=head,
        subsequent_indent=" " * beneath,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _clean(line: str) -> str:
    """A line without anything that would steer a terminal: names in the folder may be anybody's."""
    return "".join(letter if letter.isprintable() else " " for letter in line)
