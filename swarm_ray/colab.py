"""What the notebooks need on a Colab VM: Drive, secrets, and a look around before a swarm runs.

Everything here runs in the notebook's kernel: Colab's front end answers no other process. Away from Colab the same
calls work with local folders and the environment. Neither torch nor Ray is imported.
"""

from __future__ import annotations

import getpass
import html
import importlib
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from drive_store import Store
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import ExperimentNotFoundError, UserError
from swarm_ray.experiments import NodeStatus, experiment_status
from swarm_ray.experiments.folder import ExperimentAddress, read_identity, require_name
from swarm_ray.experiments.open import config_for, config_in_force, open_or_create
from swarm_ray.formatting import clean
from swarm_ray.machine.local_disk import state_folder
from swarm_ray.observe.display import Display, choose_display

if TYPE_CHECKING:
    from IPython.display import HTML

GIB = 1 << 30
LOOK_S = 2.0
SECRETS_URL = "the key symbol in Colab's side bar"


def begin_experiment(root: str, experiment: str, preset: str, overrides: Sequence[str]) -> SwarmConfig:
    """The configuration of an experiment, which is created if it does not exist; the same call resumes it later.

    Args:
        root: the shared folder.
        experiment: its name.
        preset: what a new one begins with; one that is there keeps its own settings.
        overrides: `key=value`; for one that is there, only what may change.

    Raises:
        UserError: a name, key or value is impossible, or would change what is fixed.
        StoreError: the folder cannot be written.
    """
    address = ExperimentAddress(root, experiment)
    begins_with = preset if read_identity(Store(root), address) is None else None
    config = config_for(root, experiment, begins_with, None, overrides, overwrite=False)
    open_or_create(address, config, overwrite=False)
    return config


def wait_for_experiment(
    root: str,
    experiment: str,
    within_s: float,
    *,
    display: Display | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> SwarmConfig:
    """The configuration of an experiment, as soon as its coordinator has made it and this VM sees it.

    Raises:
        UserError: it is not there after `within_s` seconds.
    """
    address, store = ExperimentAddress(root, experiment), Store(root)
    shown, began = display or choose_display(show=True), clock()
    while read_identity(store, address) is None:
        waited = clock() - began
        if waited >= within_s:
            raise ExperimentNotFoundError(
                f"no experiment {experiment!r} in {root} after {waited:.0f} s: is the folder the coordinator's, of the "
                "same Google account, and has the coordinator's notebook been run? A new file takes up to minutes"
            )
        shown.step(f"waiting for experiment {experiment!r} in {root}: no coordinator has created it yet")
        sleep(LOOK_S)
    shown.close()
    return config_in_force(store, address)


def check_node(root: str, experiment: str, node: str) -> str:
    """One line on whether a node id is new, known or in use, as far as the folder shows.

    Raises:
        UserError: it cannot name a node.
        StoreError: the folder cannot be read.
    """
    require_name(node, "a node")
    if read_identity(Store(root), ExperimentAddress(root, experiment)) is None:
        return f"node {node}: new; experiment {experiment!r} is not there yet"
    nodes = {found.id: found for found in experiment_status(root, experiment).nodes}
    return f"node {node}: {_known(nodes.get(node))}"


def about_machine() -> str:
    """Cores, memory, disk and GPUs of this machine, a line each."""
    there = next(p for p in (state_folder(), *state_folder().parents) if p.exists())
    memory, disk = psutil.virtual_memory(), shutil.disk_usage(there)
    return "\n".join(
        [
            f"Python {platform.python_version()}, {os.cpu_count()} CPU cores",
            f"memory: {memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB free",
            f"own disk: {disk.free / GIB:.0f} of {disk.total / GIB:.0f} GiB free, for {state_folder()}",
            *(_gpus() or ["GPU: none"]),
        ]
    )


def secrets_needed(config: SwarmConfig) -> list[str]:
    """The names of the secrets without which what is switched on cannot work."""
    needed = {"WANDB_API_KEY": config.tracking.wandb == "online", "HF_TOKEN": bool(config.hub.repository)}
    return [name for name, on in needed.items() if on]


def take_secret(name: str, ask: Callable[[str], str] = getpass.getpass) -> str:
    """Put a secret into the environment, which the actors inherit; answers where it was found, and never the secret.

    Colab's secrets come first, then the environment, then a prompt.

    Raises:
        UserError: it is nowhere, and nobody can be asked.
    """
    (value, why), where = _colab_secret(name), "from Colab's secrets"
    if not value and os.environ.get(name):
        return f"{name}: from the environment"
    if not value:
        with suppress(EOFError, NotImplementedError):  # nobody sits at this notebook
            value, where = ask(f"{name} (not shown; {why}): ").strip(), "as typed"
    if not value:
        raise UserError(f"{name} is needed for what is switched on, and {why}; add it under {SECRETS_URL}")
    os.environ[name] = value
    return f"{name}: {where}"


def remounter(mount_point: str, say: Callable[[str], object]) -> Callable[[str], None]:
    """For `on_disconnect`: mounts Drive again when the folder is out of reach, while training continues.

    Args:
        mount_point: where Drive is mounted.
        say: takes a line for each thing that happens; `print` in a notebook.
    """

    def remount(reason: str) -> None:
        drive = _colab("drive")
        say(f"the shared folder is out of reach ({clean(reason)}); mounting Drive again, training continues")
        if drive is None:
            say("this is not Colab: mount the folder again yourself")
            return
        try:
            drive.mount(mount_point, force_remount=True)
        except (OSError, RuntimeError, ValueError) as error:
            say(f"Drive could not be mounted again: {error}. Interrupt the cell and run the first cell again")

    return remount


def flush_drive(mount_point: str) -> str:
    """Upload what Drive's cache still holds, and unmount; answers whether that has happened.

    Colab's own call ends well where nothing is mounted, so what is mounted is looked at before and after it.
    """
    drive = _colab("drive")
    if drive is None:
        return "this is not Colab: nothing is mounted by this notebook, and nothing waits"
    if not _mounted(mount_point):
        return (
            f"NOTHING WAS FLUSHED: no Drive answers at {mount_point}. What a run published stays in {state_folder()} "
            "until the state log has answered it: run the first cell and the run again before you give this VM back"
        )
    try:
        drive.flush_and_unmount()
    except ValueError as error:
        return f"NOT FLUSHED: {error}. Run this cell again before you give this VM back"
    if _mounted(mount_point):
        return f"NOT FLUSHED: Drive still answers at {mount_point}. Run this cell again"
    return "flushed and unmounted; this VM may go"


def page(path: Path | str, height: int = 800) -> HTML:
    """An HTML file in a frame of its own in a cell's output, so that its style does not touch the notebook."""
    from IPython.display import HTML

    text = html.escape(Path(path).read_text(encoding="utf-8"))
    frame = f'<iframe srcdoc="{text}" width="100%" height="{height}" sandbox style="border:0"></iframe>'
    return HTML(f"<div>{frame}</div>")  # type: ignore[no-untyped-call]


def _known(found: NodeStatus | None) -> str:
    """What the folder says of a node that asks to take part."""
    if found is None:
        return "new in this experiment"
    seen = "" if found.last_seen_s is None else f", heard of {found.last_seen_s:.0f} s ago"
    trouble = f"; {clean(found.problem)}" if found.problem else ""
    return f"has taken {found.step} steps{seen}, and resumes from its newest checkpoint{trouble}"


def _gpus() -> list[str]:
    """A line for each GPU, as its driver tells it; PyTorch would have to be loaded to say so."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    asked = [command, "--query-gpu=name,memory.free,memory.total", "--format=csv,noheader"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=30)  # noqa: S603
    rows = [[part.strip() for part in line.split(",")] for line in told.stdout.splitlines()]
    return [f"GPU: {row[0]}, {row[1]} of {row[2]} free" for row in rows if len(row) == 3]


def _colab(module: str) -> Any:
    """A module of `google.colab`; None away from Colab."""
    try:
        return importlib.import_module(f"google.colab.{module}")
    except ImportError:
        return None


def _colab_secret(name: str) -> tuple[str, str]:
    """The secret in Colab's side bar; empty without one, with the reason."""
    userdata = _colab("userdata")
    if userdata is None:
        return "", "it is not in the environment"
    no_answer = getattr(userdata, "TimeoutException", TimeoutError)  # older Colabs wait for ever
    try:
        return str(userdata.get(name)), "it is empty"
    except userdata.SecretNotFoundError:
        return "", "it is neither among Colab's secrets nor in the environment"
    except userdata.NotebookAccessError:
        return "", "this notebook has no access to it among Colab's secrets"
    except no_answer:
        return "", "Colab did not answer"


def _mounted(mount_point: str) -> bool:
    try:
        return Path(mount_point, "MyDrive").is_dir()
    except OSError:  # a mount whose daemon has died
        return False
