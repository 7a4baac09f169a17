"""Which device a trainer's policies live on, and how much memory it has."""

from __future__ import annotations

import psutil
import torch

from swarm_ray.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """The device of `policy.device`; `auto` is the first CUDA device where there is one, else the CPU.

    Raises:
        ConfigError: the name is no device, or a CUDA device that this machine does not have.
    """
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda:0" if present else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    kind, colon, index = name.partition(":")
    if kind != "cuda" or (colon and not index.isdecimal()):
        raise ConfigError(f"policy.device={name!r} is no device; use auto, cpu, cuda or cuda:1")
    if not present:
        raise ConfigError(
            f"policy.device={name!r}, but PyTorch sees no CUDA device here; set policy.device=auto"
        )
    if int(index or 0) >= present:
        raise ConfigError(f"policy.device={name!r}, but this machine has cuda:0 to cuda:{present - 1} only")
    return torch.device("cuda", int(index or 0))


def free_memory(device: torch.device) -> int:
    """Bytes that can be allocated on the device now; on the CPU without swapping."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    return int(psutil.virtual_memory().available)
