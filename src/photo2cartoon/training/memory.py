"""Where a step's memory comes from."""

from __future__ import annotations

import ctypes

# glibc's malloc.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
NEVER, AT_A_TIME = -1, 256 * 2**20


def keep_freed() -> bool:
    """Let this process keep the memory that it frees, up to the most it ever held, for what it needs next.

    By default glibc takes every large block from the system and gives it back: a training step frees what the next one needs
    again, and each time the system has to fill gigabytes of pages with zeros (mallopt(3)).

    Returns:
        Whether this C library does so; others than glibc are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    options = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, NEVER), (M_TOP_PAD, AT_A_TIME))
    done = [mallopt(option, value) for option, value in options]
    return all(done)
