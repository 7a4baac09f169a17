from __future__ import annotations

import psutil
import pytest
import torch

from swarm_ray.errors import ConfigError
from swarm_ray.policies.loading import choose_device, free_memory


def cuda(monkeypatch, count):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def test_auto_is_the_first_cuda_device_or_the_cpu(monkeypatch):
    cuda(monkeypatch, 2)
    assert choose_device("auto") == torch.device("cuda", 0)
    cuda(monkeypatch, 0)
    assert choose_device("auto") == torch.device("cpu")


def test_a_device_is_taken_by_name(monkeypatch):
    cuda(monkeypatch, 2)
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("cuda") == torch.device("cuda", 0)
    assert choose_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize(
    ("name", "count", "advice"),
    [
        ("cuda", 0, "set policy.device=auto"),
        ("cuda:2", 2, "cuda:0 to cuda:1 only"),
        ("cuda:", 1, "use auto, cpu, cuda"),
        ("cuda:-1", 1, "use auto, cpu, cuda"),
        ("gpu", 1, "use auto, cpu, cuda"),
        ("mps", 0, "use auto, cpu, cuda"),
        ("", 0, "use auto, cpu, cuda"),
    ],
)
def test_what_is_not_there_is_one_line(monkeypatch, name, count, advice):
    cuda(monkeypatch, count)
    with pytest.raises(ConfigError, match=advice) as error:
        choose_device(name)
    assert "policy.device" in str(error.value)
    assert "\n" not in str(error.value)


def test_free_memory_of_the_cpu_is_part_of_the_machine():
    assert 0 < free_memory(torch.device("cpu")) <= psutil.virtual_memory().total
