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
MOST_USES = 100_000  # then counted anew: tickets are 32-bit integers
LEASE_SECONDS = 30.0  # until the place of a call that never came out again is free


class Slots:
    """Places, each with the time since when it is taken, and how often it was. One process takes, all may free.

    Who takes a place gets a ticket, which is of no use once the place is given to somebody else: its number, plus the number
    of places for each time that it was taken.

    Args:
        path: a file of `create`.
    """

    def __init__(self, path: Path) -> None:
        self._since, self._uses = np.memmap(path, np.float64, "r+").reshape(2, -1)

    @staticmethod
    def create(path: Path, count: int) -> None:
        """Write a file with free places."""
        np.zeros((2, count)).tofile(path)

    @classmethod
    def of_server(cls) -> Slots | None:
        """Return those of this server; None if it was started without a limit."""
        path = os.environ.get(VARIABLE)
        return cls(Path(path)) if path else None

    def __len__(self) -> int:
        return len(self._since)

    def take(self, count: int) -> list[int] | None:
        """Take `count` places and return their tickets, or None if there are not as many."""
        now = time.monotonic()
        free = np.flatnonzero((self._since == 0) | (now - self._since > LEASE_SECONDS))[:count]
        if len(free) < count:
            return None
        self._since[free] = now
        self._uses[free] = self._uses[free] % MOST_USES + 1
        return (free + len(self) * self._uses[free].astype(int)).tolist()

    def free(self, tickets: Iterable[int]) -> None:
        """Give the places of tickets back, as far as these are valid."""
        given = np.array([ticket for ticket in tickets if ticket >= 0], int)
        places = given % len(self)
        self._since[places[self._uses[places] == given // len(self)]] = 0

    def forget(self) -> None:
        """Give all places back, after calls were lost."""
        self._since[:] = 0

    def taken(self) -> int:
        """Return how many are taken."""
        return int(((self._since > 0) & (time.monotonic() - self._since <= LEASE_SECONDS)).sum())
