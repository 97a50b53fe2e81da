"""Memory freed in a step is reused by the next one without a system call."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PAGES = 64 * 2**20 // 4096  # of one block; where small allocations divide the heap, a few of twenty are new
PROGRAM = """
import resource, sys, torch
from photo2cartoon.params import Train
from photo2cartoon.training.state import State
keep = sys.argv[1] == "keep"
State({"disLA": torch.nn.Conv2d(3, 3, 1)}, Train(keep_memory=keep), torch.device("cpu"))
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(2**24), torch.ones(2**24)  # 64 MiB each, freed at once
before = faults()
for _ in range(20):
    torch.ones(2**24)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's own allocator")
@pytest.mark.parametrize(("way", "most", "least"), [("keep", 6 * PAGES, 0), ("return", 21 * PAGES, 16 * PAGES)])
def test_freed_memory_stays_with_the_process(way: str, most: int, least: int) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, way], capture_output=True, text=True, check=True)
    assert least <= int(done.stdout) <= most
