"""Child processes of this one."""

from __future__ import annotations

import ctypes
import signal
import sys


def end_with_parent(how: signal.Signals) -> None:
    """Run in the child: request a signal when the parent dies, even by SIGKILL, to leave no orphan. Linux alone has this."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, how)
