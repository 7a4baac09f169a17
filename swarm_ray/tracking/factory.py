"""Makes the trackers that a configuration asks for, and checks that what they need is installed.

A new tracker is a module beside this one, and a few lines in `require_trackers` and `make_trackers`.
"""

from __future__ import annotations

import netrc
import os
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from swarm_ray.config.schema import TrackingConfig
from swarm_ray.errors import UserError
from swarm_ray.tracking.prometheus import MakeGauge, PrometheusTracker
from swarm_ray.tracking.tensorboard import TensorboardTracker
from swarm_ray.tracking.tracker import Tracker, TrackerFiles
from swarm_ray.tracking.wandb import WandbTracker

RAY_DEFAULT = ("aiohttp_cors", "opencensus", "prometheus_client")
"""What `ray[default]` brings beside Ray."""
WANDB_SERVER = "https://api.wandb.ai"


def require_trackers(config: TrackingConfig) -> None:
    """Make sure, before anything starts, that what the trackers need is installed.

    Raises:
        UserError: it is not, or wandb is to be online and has no key.
    """
    if config.wandb != "off":
        require_package("wandb", f"tracking.wandb={config.wandb}", "swarm-ray[wandb]")
    if config.tensorboard:
        require_package("tensorboard", "tracking.tensorboard=true", "swarm-ray[tensorboard]")
    if config.prometheus:
        require_ray_default("tracking.prometheus=true")
    if config.wandb == "online" and not _has_wandb_key():
        raise UserError(
            "tracking.wandb=online needs a key: set WANDB_API_KEY, run `wandb login`, or take tracking.wandb=offline"
        )


def require_ray_default(what: str) -> None:
    """Make sure that `ray[default]` is installed.

    Args:
        what: needs it.

    Raises:
        UserError: it is not.
    """
    for package in RAY_DEFAULT:
        require_package(package, what, "ray[default]")


def require_package(package: str, what: str, install: str) -> None:
    """Raise UserError where `package`, which `what` needs, is not installed."""
    if find_spec(package) is None:
        raise UserError(f"{what} needs {package}, which is not installed: pip install '{install}'")


def make_trackers(
    asked: TrackingConfig,
    shown: dict[str, Any],
    experiment: str,
    run_prefix: str,
    files: TrackerFiles,
    make_gauge: MakeGauge,
) -> list[Tracker]:
    """The trackers that the configuration asks for.

    Args:
        asked: which.
        shown: the whole configuration in JSON's types, where wandb is to show it.
        experiment: its name.
        run_prefix: of the ids of wandb's runs; no other experiment has it.
        files: where they write.
        make_gauge: makes a gauge for Prometheus.
    """
    found: list[Tracker] = []
    if asked.wandb != "off":
        found.append(WandbTracker(asked.wandb, asked.wandb_project, experiment, run_prefix, shown, files))
    if asked.tensorboard:
        found.append(TensorboardTracker(files))
    if asked.prometheus:
        found.append(PrometheusTracker(experiment, make_gauge))
    return found


def _has_wandb_key() -> bool:
    """Whether wandb will find a key: in the environment, or where `wandb login` puts it."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or WANDB_SERVER).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
