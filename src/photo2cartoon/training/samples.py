"""Grids of sample pictures that training shows as it goes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from photo2cartoon.dataset.faces import to_float, to_uint8
from photo2cartoon.pictures import grid
from photo2cartoon.scoring.seven_rows import DIRECTIONS, seven_rows


def sample_grid(generators: nn.ModuleDict, photos: Tensor, cartoons: Tensor) -> np.ndarray:
    """The same few portraits at every tick, so that a person sees training go forward or astray.

    Args:
        generators: averaged ones.
        photos, cartoons: uint8 `[N, 3, S, S]`.

    Returns:
        uint8 RGB picture, both directions side by side.
    """
    halves = [
        grid(seven_rows(generators, pictures, direction), side=128)
        for pictures, direction in zip((photos, cartoons), DIRECTIONS, strict=True)
    ]
    return np.hstack(halves)


@torch.no_grad()
def lesson_grid(generator: nn.Module, pairs: Tensor, others: Tensor) -> np.ndarray:
    """Photographs, the drawings taught, and ours; photographs that have none, and ours.

    Args:
        generator: the averaged one.
        pairs: uint8 `[N, 6, S, S]`, photograph and drawing.
        others: uint8 `[M, 3, S, S]`; M may be 0.

    Returns:
        uint8 RGB picture.
    """
    device = next(generator.parameters()).device

    def drawn(photos: Tensor) -> list[np.ndarray]:
        return list(to_uint8(generator(to_float(photos.to(device))).picture))

    def shown(pictures: Tensor) -> list[np.ndarray]:
        return list(pictures.permute(0, 2, 3, 1).numpy())

    photos, drawings = pairs.split(3, dim=1)
    rows = [("photograph", shown(photos)), ("taught", shown(drawings)), ("drawn", drawn(photos))]
    if len(others):
        rows += [("photograph without drawing", shown(others)), ("drawn", drawn(others))]
    return grid(rows)
