"""The benchmark of the three ways in which values travel runs, and prints what it says it prints."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "exchange.py"
ROW = r" +2 +100000" + r" +\d+\.\d" * 3 + r" +\d+\.\dx" * 2 + r" +\d+\.\d" * 3


@pytest.mark.repeats
def test_the_benchmark_compares_all_three_ways() -> None:
    ran = subprocess.run([sys.executable, BENCHMARK, "--quick"], check=True, capture_output=True, text=True)
    title, head, row = ran.stdout.splitlines()
    assert title.startswith("milliseconds from publication")
    assert head.split()[:5] == ["nodes", "bytes", "folder", "direct", "GenRL"]
    assert re.fullmatch(ROW, row)
    assert ran.stderr == ""
