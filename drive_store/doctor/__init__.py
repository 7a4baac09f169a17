"""Can a swarm run over this folder, and with which settings? Asked of one machine, or of two over one folder.

`examine` looks, writes, measures and cleans up; what it finds are `Findings`, which `findings_text` shows to people.
"""

from __future__ import annotations

from drive_store.doctor.examination import ROUNDS, WAIT_S, examine
from drive_store.doctor.report import FAIL, OK, WARN, Finding, Findings, figures_text, findings_text
from drive_store.doctor.workspace import Means

__all__ = [
    "FAIL",
    "OK",
    "ROUNDS",
    "WAIT_S",
    "WARN",
    "Finding",
    "Findings",
    "Means",
    "examine",
    "figures_text",
    "findings_text",
]
