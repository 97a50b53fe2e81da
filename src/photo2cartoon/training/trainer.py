"""What the loop asks of a recipe."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from torch import Tensor

from photo2cartoon.training.state import State


class Trainer(Protocol):
    """A recipe with its data, its losses and its sample grid.

    Args:
        state: what a checkpoint keeps.
        counts: pictures of each kind in the dataset.
        per_step: pictures of each kind that a step takes, over all processes.
        weights: the weight of each loss, as attributes.
    """

    state: State
    weights: object

    @property
    def counts(self) -> dict[str, int]: ...

    @property
    def per_step(self) -> dict[str, int]: ...

    def step(self, number: int) -> dict[str, Tensor]:
        """Make step `number`, from 0, on this process's share of the batch; returns the losses."""

    def grid(self) -> np.ndarray:
        """The same few portraits every time, as the averaged generators translate them now: uint8 RGB."""
