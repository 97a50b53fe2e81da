"""The same few portraits drawn at every tick, so that a person sees training go forward or astray."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from photo2cartoon.dataset.faces import to_float
from photo2cartoon.pictures import grid, heatmap_on
from photo2cartoon.training.step import Step


def to_uint8(pictures: Tensor) -> np.ndarray:
    """Float `[N, 3, H, W]` in -1..1 to uint8 `[N, H, W, 3]`."""
    levels = ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).cpu().numpy()


@torch.no_grad()
def sample_grid(state: Step, photos: Tensor, cartoons: Tensor) -> np.ndarray:
    """Photographs, where the generator looks, what it draws, and the way back; the same for cartoons.

    Args:
        state: drawn with the averaged generators.
        photos, cartoons: uint8 `[N, 3, S, S]`.

    Returns:
        uint8 RGB picture.
    """
    device = next(state.networks.parameters()).device
    rows = []
    ways = ((photos, "photograph", "genA2B", "cartoon"), (cartoons, "cartoon", "genB2A", "photograph"))
    for pictures, source, forward, target in ways:
        backward = "genB2A" if forward == "genA2B" else "genA2B"
        real = to_float(pictures.to(device))
        drawing = state.averages[forward](real)
        back = state.averages[backward](drawing.picture).picture
        originals = list(to_uint8(real))
        heat = drawing.heatmap[:, 0].float().cpu().numpy()
        rows += [
            (source, originals),
            ("attention", [heatmap_on(*pair) for pair in zip(originals, heat, strict=True)]),
            (f"drawn as {target}", list(to_uint8(drawing.picture))),
            (f"and back as {source}", list(to_uint8(back))),
        ]
    return grid(rows)
