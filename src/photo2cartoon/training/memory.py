"""The memory allocator during training on a CPU."""

from __future__ import annotations

import ctypes

# glibc's malloc.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
NEVER, AT_A_TIME = -1, 256 * 2**20


def keep_freed() -> bool:
    """Let this process keep freed memory, up to its peak, for later allocations.

    By default glibc maps every large block and unmaps it when it is freed. A training step frees blocks that the next step
    allocates again, and each time the kernel has to zero gigabytes of pages (mallopt(3)).

    Returns:
        Whether the C library supports it: glibc does, others are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    options = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, NEVER), (M_TOP_PAD, AT_A_TIME))
    done = [mallopt(option, value) for option, value in options]
    return all(done)
