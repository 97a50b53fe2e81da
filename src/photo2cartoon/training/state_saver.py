"""Saves the state of training by time, beside the steps: a step copies it in memory, a thread writes it.

A process may be killed without notice (a lost machine, an orchestrator that does not wait), so a run must not depend on
saving when it is asked to stop.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from photo2cartoon.checkpoint import list_checkpoints
from photo2cartoon.errors import UserError
from photo2cartoon.layout import STATE
from photo2cartoon.progress import note
from photo2cartoon.training import checkpoint
from photo2cartoon.training.run_storage import KEEP, RunStorage
from photo2cartoon.training.state import State


class StateSaver:
    """Saver of one run; only the main process has one.

    Args:
        run: the run's folder; states go to `state/` in it, the newest `KEEP` are kept.
        minutes: interval between saves; 0 for none by time.
        place: object storage that also gets every state, and the run's results; None for none.
        clock: seconds that only ever increase.
    """

    def __init__(
        self, run: Path, minutes: float, place: RunStorage | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.run, self.place = run, place
        self._seconds, self._clock = minutes * 60, clock
        self._saved = clock()
        self._thread = ThreadPoolExecutor(1, "state")
        self._writing: Future | None = None
        self._keeping: Future | None = None

    def due(self) -> bool:
        """Return whether the interval has passed; False while the state before is still being written."""
        if not self._seconds or (self._writing and not self._writing.done()):
            return False
        return self._clock() - self._saved >= self._seconds

    def save(self, state: State, step: int) -> None:
        """Copy the state, and write it in the background.

        Raises:
            UserError: the disk is full or not writable, as the thread found out by now.
        """
        self._raise_errors()
        self._saved = self._clock()
        self._writing = self._thread.submit(self._write, checkpoint.snapshot(state, step))

    def keep_results(self) -> None:
        """Copy curves, samples and the checkpoints' averages to the place, in the background."""
        if self.place:
            self._keeping = self._thread.submit(self._upload, self.place.keep_results)

    def wait(self) -> None:
        """Wait until everything is written.

        Raises:
            UserError: the disk is full or not writable.
        """
        self._thread.shutdown()
        self._raise_errors()

    def finish(self) -> None:
        """Remove the states of a run that has ended: its last checkpoint holds everything."""
        self.wait()
        shutil.rmtree(self.run / STATE, ignore_errors=True)

    def _write(self, taken: checkpoint.Snapshot) -> None:
        path = checkpoint.write(self.run / STATE, taken)
        for old in list_checkpoints(self.run / STATE)[:-KEEP]:
            shutil.rmtree(old)
        if self.place:
            self._upload(self.place.keep_state, path)

    def _upload(self, upload: Callable[..., None], *more: Path) -> None:
        try:
            upload(self.run, *more)
        except UserError as error:  # storage may be back at the next save; training does not wait for it
            note(f"train: not saved this time: {error}")

    def _raise_errors(self) -> None:
        for future in (self._writing, self._keeping):
            if future is not None and future.done():
                future.result()
