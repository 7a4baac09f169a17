"""Mounts the account's Drive as Colab does: same refusals, same words, and nothing returned."""

# ruff: noqa: T201

import os
from pathlib import Path

from google.colab.calls import note

__all__ = ["flush_and_unmount", "mount"]


def mount(mountpoint, force_remount=False, timeout_ms=120_000, readonly=False):
    note("mount", mountpoint=mountpoint, force_remount=force_remount, readonly=readonly)
    if " " in mountpoint:
        raise ValueError("Mountpoint must not contain a space.")
    shown = Path(mountpoint).expanduser() / "MyDrive"
    if shown.is_dir() and not force_remount:
        print(
            f"Drive already mounted at {mountpoint}; to attempt to forcibly remount, "
            f'call drive.mount("{mountpoint}", force_remount=True).'
        )
        return
    if shown.is_symlink():
        shown.unlink()
    _check_mountpoint(Path(mountpoint))
    Path(mountpoint).mkdir(exist_ok=True)
    shown.symlink_to(_account(), target_is_directory=True)
    print(f"Mounted at {mountpoint}")


def flush_and_unmount(timeout_ms=24 * 60 * 60 * 1000):
    note("flush_and_unmount")
    # Colab knows what is mounted wherever it is; here the calls say where it was.
    mounted = [shown for shown in _shown() if shown.is_symlink()]
    if not mounted:
        print("Drive not mounted, so nothing to flush and unmount.")
    for shown in mounted:
        shown.unlink()


def _check_mountpoint(mountpoint):
    if mountpoint.is_symlink():
        raise ValueError("Mountpoint must not be a symlink")
    if mountpoint.is_dir() and any(mountpoint.iterdir()):
        raise ValueError("Mountpoint must not already contain files")
    if mountpoint.exists() and not mountpoint.is_dir():
        raise ValueError("Mountpoint must either be a directory or not exist")
    if not mountpoint.parent.exists():
        raise ValueError("Mountpoint must be in a directory that exists")


def _account():
    return Path(os.environ["COLAB_FOR_TESTS_DRIVE"]).resolve()


def _shown():
    import json

    from google.colab.calls import vm_folder

    calls = [json.loads(line) for line in (vm_folder() / "calls.jsonl").read_text().splitlines()]
    return {Path(c["mountpoint"], "MyDrive") for c in calls if c["call"] == "mount"}
