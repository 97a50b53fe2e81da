"""Cores and memory that a process may use."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def usable_cores() -> int:
    """Return how many cores this process may use: of the machine, its CPU affinity and its container's limit."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for place in (Path("/sys/fs/cgroup/cpu.max"), Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")):
        try:
            quota, period = (place.read_text() + " 100000").split()[:2]
            if quota not in ("max", "-1"):
                cores = min(cores, max(1, round(int(quota) / int(period))))
        except (OSError, ValueError):
            continue
    return cores


def usable_memory() -> int:
    """Return how many bytes of memory this process may use: of the machine, and its container's limit."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for place in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        with contextlib.suppress(OSError, ValueError):  # without a limit the file says "max"
            memory = min(memory, int(place.read_text()))
    return memory
