"""This machine: its own disk, its cache, its Ray, and the memory of its processes. No torch."""

import os

# Ray tells of every worker that dies on the driver's standard error, in its own words and whatever `log_to_driver`
# says; this documented pattern, which has to be set before it is imported, keeps them apart from ours.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "^")
