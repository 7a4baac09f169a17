"""From the visibility that was measured to the settings of a swarm, and to a verdict in words.

A setting is never below the default that fits the folder: what a quarter of an hour did not show may come later
(outages of half an hour are reported of Drive), and only what was measured to be slow makes a setting larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from drive_store.doctor.report import FAIL, OK, Finding, seconds, worst

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
    if p99_s is not None and p99_s > FAST_P99_S:
        return True
    return drive or (p99_s is None and not own_disk)


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
