"""Errors of the store that mean: the folder is out of reach for now; what waits is kept, and tried again."""

from __future__ import annotations

from drive_store import StoreDenied, StoreFull, StoreUnavailable

AWAY = (StoreUnavailable, StoreDenied, StoreFull)
"""Unmounted or half dead, no access, no space or quota: a later try may succeed."""
