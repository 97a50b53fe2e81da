"""Brings a photograph's colours back into a drawing of it: skin, hair and clothes keep theirs, lines stay lines."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, of gamma-encoded values
# Differences are looked at in this many cells a side, of the smallest portrait; blurred and filtered over 3 by 3 of them.
CELLS, SMALLEST = 64, 256
# Variance of the drawing's luma that counts as one of its edges; what is added to a luma before its logarithm; and the
# mean saturation below which a photograph counts as grey.
EDGE, OFFSET, GREY = 1e-3, 0.05, 0.02


def bring_back(photo: Tensor, alpha: Tensor, drawing: Tensor, strength: Tensor) -> Tensor:
    """Move the colours of a drawing towards those of its photograph.

    The difference of both, in chroma and in the logarithm of luma, is blurred inside the person. A guided filter (He, Sun
    and Tang, 2013) makes it follow the drawing's own edges, so nothing bleeds over its lines. Chroma is added; luma is
    multiplied, so dark lines stay dark and light eyes and teeth light.

    Args:
        photo: `[N, 3, S, S]` in 0..1, on white; S is a multiple of 4.
        alpha: `[N, 1, S, S]` in 0..1.
        drawing: `[N, 3, S, S]` in 0..1, on white.
        strength: `[N, 1, 1, 1]`; 0 returns the drawing, 1 the photograph's colours.

    Returns:
        `[N, 3, S, S]` in 0..1; where alpha is 0, the drawing.
    """
    given, inside, drawn = _cells(photo), _cells(alpha), _cells(drawing)
    luma, luma_drawn = luma_of(given), luma_of(drawn)
    chroma = given - luma
    difference = torch.cat(
        [chroma - (drawn - luma_drawn), torch.log(luma + OFFSET) - torch.log(luma_drawn + OFFSET)], dim=1
    )
    difference = _blur(difference * inside) / (_blur(inside) + 1e-3)
    mean, mean_difference = _mean(luma_drawn), _mean(difference)
    slope = (_mean(luma_drawn * difference) - mean * mean_difference) / (
        _mean(luma_drawn * luma_drawn) - mean * mean + EDGE
    )
    line = _mean(torch.cat([slope, mean_difference - slope * mean], dim=1))
    slope, base = F.interpolate(line, size=photo.shape[2:], mode="bilinear", align_corners=False).split(4, dim=1)
    luma_drawn = luma_of(drawing)
    difference = slope * luma_drawn + base
    saturation = (chroma.abs().mean(dim=1, keepdim=True) * inside).mean(dim=(2, 3), keepdim=True)
    colourful = (saturation / (inside.mean(dim=(2, 3), keepdim=True) + 1e-3) / GREY).clamp(0, 1)
    chroma = (drawing - luma_drawn + strength * difference[:, :3]) * (1 - strength * (1 - colourful))
    luma = (luma_drawn + OFFSET) * torch.exp(strength * difference[:, 3:]) - OFFSET
    return drawing + alpha * ((chroma + luma).clamp(0, 1) - drawing)


def _cells(x: Tensor) -> Tensor:
    """Shrink to `CELLS` a side; a multiple of four pixels makes a cell, others are interpolated."""
    x = F.avg_pool2d(x, SMALLEST // CELLS)
    return F.interpolate(x, size=(CELLS, CELLS), mode="bilinear", align_corners=False)


def luma_of(x: Tensor) -> Tensor:
    """Return the luma of RGB, `[N, 3, H, W]` to `[N, 1, H, W]`."""
    red, green, blue = x.split(1, dim=1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def _mean(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _blur(x: Tensor) -> Tensor:
    return _mean(_mean(_mean(x)))
