"""Starts Triton again when it ends by itself, as after a crash."""

from __future__ import annotations

import signal
import time
from collections import deque
from typing import TYPE_CHECKING

from photo2cartoon.errors import UserError
from photo2cartoon.progress import note

if TYPE_CHECKING:
    from photo2cartoon.serving.server import Server

LOOK_SECONDS = 0.2
PAUSES = (1.0, 5.0, 15.0, 30.0, 60.0)  # after starts that failed, as while object storage does not answer
MOST_ENDS, WITHIN_SECONDS = 5, 600  # ends within a time that are too many: what ends it will do so again


def supervise(server: Server) -> None:
    """Keep a started server running; only an exception, such as that of a signal, ends it.

    Calls are answered UNAVAILABLE while Triton starts, for some ten seconds. The log keeps what was written before.

    Args:
        server: a running server.

    Raises:
        UserError: Triton ended five times within ten minutes, or could not be started again within some minutes.
    """
    ends: deque[float] = deque(maxlen=MOST_ENDS)
    while True:
        while server.process and server.process.poll() is None:
            time.sleep(LOOK_SECONDS)
        ends.append(time.monotonic())
        if len(ends) == MOST_ENDS and ends[-1] - ends[0] < WITHIN_SECONDS:
            raise UserError(
                f"Triton ended by itself {MOST_ENDS} times within {WITHIN_SECONDS // 60} min ({server.where})"
            )
        if server.process:
            reason = _reason(server.process.returncode)
            note(f"serve: Triton ended by itself ({reason}); it is started again ({server.where})")
        server.stop()
        for pause in PAUSES:
            try:
                server.start()
            except UserError as error:
                note(f"serve: {error}; it is started again in {pause:g} s")
                time.sleep(pause)
            else:
                note("serve: Triton serves again")
                break
        else:
            raise UserError(f"Triton ended, and could not be started {len(PAUSES)} times ({server.where})")


def _reason(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
