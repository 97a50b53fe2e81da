"""Identity of the process behind a run, to find runs whose process was lost."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

PROCESS_TAG = "p2c.process"


def place() -> str:
    """Return the machine, or the container on it: only there can a process be looked up by its number."""
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    return socket.gethostname()


def identity() -> str:
    """Return place, number and start time of this process."""
    return f"{place()} {os.getpid()} {_started(os.getpid())}"


def is_lost(process: str) -> bool:
    """Return whether a process, named by its `identity`, ran here and is gone."""
    where, number, started = process.rsplit(" ", 2)
    return where == place() and started != _started(int(number))


def _started(number: int) -> str:
    import psutil

    try:
        process = psutil.Process(number)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.0f}"
    except psutil.Error:
        return ""
