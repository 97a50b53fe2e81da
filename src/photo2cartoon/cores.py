"""Counts the processor cores that a process may use."""

from __future__ import annotations

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
