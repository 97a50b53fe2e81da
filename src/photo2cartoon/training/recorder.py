"""What a training leaves: curves, sample grids, scored checkpoints and, while it runs, its state."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from photo2cartoon.scoring.scorer import Scorer
from photo2cartoon.training.checkpoint_manager import CheckpointManager
from photo2cartoon.training.run_logger import RunLogger
from photo2cartoon.training.state import State
from photo2cartoon.training.state_saver import StateSaver


class Recorder:
    """The recorder of one run; only the main process has one.

    Args:
        logger: of curves, sample grids and scores.
        manager: of checkpoints.
        saver: of states.
        scorer: of checkpoints; None for a run without `train.score`.
    """

    def __init__(self, logger: RunLogger, manager: CheckpointManager, saver: StateSaver, scorer: Scorer | None) -> None:
        self._logger, self._manager, self._saver, self._scorer = logger, manager, saver, scorer

    def losses(self, values: dict[str, float], step: int) -> str:
        """Log the losses of a step; return the text for the progress bar."""
        return self._logger.losses(values, step)

    def samples(self, picture: np.ndarray, step: int) -> None:
        """Save and log a grid of samples, uint8 RGB `[H, W, 3]`."""
        self._logger.samples(picture, step)

    def checkpoint(self, state: State, step: int) -> None:
        """Score the averaged generator, and keep a checkpoint."""
        scores: Mapping[str, float] = self._scorer.of(state.ema["genA2B"], draws=False).scores if self._scorer else {}
        self._logger.scores(scores, step)
        self._manager.add(state, step, scores)
        self._saver.keep_results()

    def state_is_due(self, last: bool) -> bool:
        """Return whether to save the state now: by time, and at the last step for a run that object storage keeps."""
        return self._saver.due() or (last and self._saver.place is not None)

    def save_state(self, state: State, step: int, wait: bool) -> None:
        """Save the state in the background; `wait` until it is written."""
        self._saver.save(state, step)
        if wait:
            self._saver.wait()

    def finish(self) -> None:
        """Wait for everything that is being written, and remove the states: the last checkpoint holds everything."""
        self._saver.keep_results()
        self._saver.finish()

    def close(self, status: str) -> None:
        """Close the run in MLflow as FINISHED, FAILED or KILLED."""
        self._logger.close(status)
