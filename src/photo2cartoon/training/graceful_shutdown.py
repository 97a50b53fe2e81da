"""Stopping a training after its current step: SIGTERM and Ctrl-C."""

from __future__ import annotations

import signal
import threading
from typing import Any

from photo2cartoon.progress import note


class GracefulShutdown:
    """Records SIGTERM, which orchestrators send before they remove a machine, and Ctrl-C, so that the current step can
    finish; a second Ctrl-C interrupts it."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> GracefulShutdown:
        if threading.current_thread() is threading.main_thread():
            handlers = {signal.SIGTERM: self._request, signal.SIGINT: self._interrupt}
            self._before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        return self

    def _request(self, *_: object) -> None:
        self.requested = True

    def _interrupt(self, *_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.requested = True
        note("train: stops after this step and saves it; Ctrl-C again stops now")

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
