"""The checkpoints of a run that stay on disk: the latest ones, to resume from, and the best ones by score."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path

from photo2cartoon.checkpoint import list_checkpoints, read_card
from photo2cartoon.params import Train
from photo2cartoon.scoring.metrics import direction
from photo2cartoon.training import checkpoint
from photo2cartoon.training.state import State


class CheckpointManager:
    """Saves, ranks and removes the checkpoints of one run. It keeps no state of its own, so that a resumed run ranks alike.

    Args:
        folder: of the checkpoints.
        params: the `train` section.
    """

    def __init__(self, folder: Path, params: Train) -> None:
        self.folder, self.params = folder, params

    def last(self) -> Path | None:
        """The latest checkpoint, or None."""
        found = list_checkpoints(self.folder)
        return found[-1] if found else None

    def best(self) -> list[Path]:
        """Checkpoints with a score, best first; ties go to the earliest."""
        scored = [(self._score(path), path) for path in list_checkpoints(self.folder)]
        return [path for score, path in sorted(scored) if math.isfinite(score)]

    def add(self, state: State, step: int, scores: Mapping[str, float]) -> Path:
        """Save a checkpoint with its scores, then remove those that are neither among the latest nor among the best."""
        added = checkpoint.save(self.folder, state, step, scores)
        late = list_checkpoints(self.folder)[-self.params.keep :]
        stay = {*late, *self.best()[: self.params.keep_best]}
        for path in list_checkpoints(self.folder):
            if path not in stay:
                shutil.rmtree(path)
        return added

    def should_stop(self) -> bool:
        """Early stopping: whether the score has not improved for `train.patience` checkpoints."""
        best, last = self.best(), self.last()
        if not self.params.patience or not best or last is None:
            return False
        since = read_card(last).step - read_card(best[0]).step
        return since >= self.params.patience * self.params.checkpoint_every

    def _score(self, path: Path) -> float:
        name = self.params.score or ""
        scores = read_card(path).scores
        return direction(name) * scores[name] if name in scores else math.inf
