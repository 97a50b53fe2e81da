"""Places for photographs in work, shared by the processes of a server: a server refuses what it has no place for.

Triton has queues with a limit, but with them its scheduler sleeps for up to 0.4 s between batches (Triton 2.51).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

VARIABLE = "P2C_SLOTS"  # the file that holds them; its size is their number
LEASE_SECONDS = 30.0  # until the place of a call that never came out again is free


class Slots:
    """Places, each with the time since when it is taken. One process takes, all may free.

    Args:
        path: a file of `create`.
    """

    def __init__(self, path: Path) -> None:
        self._since = np.memmap(path, np.float64, "r+")

    @staticmethod
    def create(path: Path, count: int) -> None:
        """Write a file with free places."""
        np.zeros(count).tofile(path)

    @classmethod
    def of_server(cls) -> Slots | None:
        """Return those of this server; None if it was started without a limit."""
        path = os.environ.get(VARIABLE)
        return cls(Path(path)) if path else None

    def __len__(self) -> int:
        return len(self._since)

    def take(self, count: int) -> list[int] | None:
        """Take `count` places, or None if there are not as many."""
        now = time.monotonic()
        free = np.flatnonzero((self._since == 0) | (now - self._since > LEASE_SECONDS))[:count]
        if len(free) < count:
            return None
        self._since[free] = now
        return free.tolist()

    def free(self, places: Iterable[int]) -> None:
        """Give places back."""
        self._since[list(places)] = 0

    def forget(self) -> None:
        """Give all places back, after calls were lost."""
        self._since[:] = 0

    def taken(self) -> int:
        """Return how many are taken."""
        return int(((self._since > 0) & (time.monotonic() - self._since <= LEASE_SECONDS)).sum())
