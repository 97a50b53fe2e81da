"""Pastes a cartoon back into the photograph its portrait was taken from."""

from __future__ import annotations

import cv2
import numpy as np

from photo2cartoon.portrait.background import without_white
from photo2cartoon.portrait.maker import Portrait
from photo2cartoon.portrait.shrink import shrunk

# The cartoon fades out at the edges over this share of the square's side, because necks and shoulders extend beyond it.
FADE = 1 / 16


def paste(rgb: np.ndarray, portrait: Portrait, cartoon: np.ndarray) -> np.ndarray:
    """Replace the head in the photograph by the cartoon, rotated, scaled and placed as the portrait was taken.

    Args:
        rgb: the photograph, uint8 `[H, W, 3]`.
        portrait: the portrait taken from it.
        cartoon: the generator's output for the portrait, on white, uint8 `[S, S, 3]`.

    Returns:
        uint8 `[H, W, 3]`; pixels where the portrait's alpha is 0 are the photograph's own.
    """
    height, width = rgb.shape[:2]
    side = len(cartoon)
    rgba = without_white(cartoon, portrait.rgba[..., 3]).astype(np.float32)
    fade = rgba[..., 3:] / 255 * _fade(side)[..., None]
    layer = np.dstack([rgba[..., :3] * fade, fade])
    left, top, right, bottom = _place(portrait.matrix, side, width, height)
    if right <= left or bottom <= top:
        return rgb.copy()
    # From pixels of this part of the photograph to portrait pixels.
    matrix = portrait.matrix.copy()
    matrix[:, 2] += portrait.matrix[:, :2] @ (left, top)
    step = int(np.linalg.norm(matrix[0, :2]))
    if step > 1:  # shrunk by a whole number first, as warping takes single pixels
        layer = shrunk(layer, 1 / step)
        matrix[:, 2] -= (step - 1) / 2
        matrix /= step
    layer = cv2.warpAffine(
        layer, matrix, (right - left, bottom - top), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderValue=0
    )
    pasted = rgb.copy()
    part = pasted[top:bottom, left:right]
    blended = part * (1 - layer[..., 3:]) + layer[..., :3]
    part[:] = np.where(layer[..., 3:] > 0, np.clip(np.rint(blended), 0, 255), part).astype(np.uint8)
    return pasted


def _fade(side: int) -> np.ndarray:
    """Return a mask that is 1 inside, 0 at the edge and smooth between: float32 `[side, side]`."""
    distance = np.minimum(np.arange(side), np.arange(side)[::-1]) / (side * FADE)
    ramp = np.clip(distance, 0, 1).astype(np.float32)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return np.minimum(ramp[:, None], ramp[None])


def _place(matrix: np.ndarray, side: int, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the smallest upright box in the photograph that contains the portrait: left, top, right, bottom."""
    back = cv2.invertAffineTransform(matrix)
    corners = np.array([(x, y, 1) for x in (0, side - 1) for y in (0, side - 1)]) @ back.T
    left, top = np.floor(corners.min(axis=0)).astype(int)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 1
    return max(left, 0), max(top, 0), min(right, width), min(bottom, height)
