"""The interface between the training loop and a recipe."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from torch import Tensor

from photo2cartoon.training.state import State


class Trainer(Protocol):
    """A recipe with its data, its losses and its sample grid.

    Args:
        state: the part that checkpoints save.
        counts: number of pictures of each kind in the dataset.
        per_step: number of pictures of each kind in a step, over all processes.
        weights: the weight of each loss, as attributes.
    """

    state: State

    @property
    def weights(self) -> object: ...

    @property
    def counts(self) -> dict[str, int]: ...

    @property
    def per_step(self) -> dict[str, int]: ...

    def step(self, number: int) -> dict[str, Tensor]:
        """Run step `number`, from 0, on this process's share of the batch; return the losses."""

    def grid(self) -> np.ndarray:
        """The sample grid: the same few portraits every time, through the averaged generators; uint8 RGB."""
