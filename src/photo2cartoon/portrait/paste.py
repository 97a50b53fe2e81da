"""Pastes a cartoon back into the photograph its portrait was taken from."""

from __future__ import annotations

import cv2
import numpy as np

from photo2cartoon.portrait.maker import SIZE, Portrait

# The cartoon fades out at the edges over this share of the square's side, because necks and shoulders extend beyond it.
FADE = 1 / 16


def paste(rgb: np.ndarray, portrait: Portrait, cartoon: np.ndarray) -> np.ndarray:
    """Replace the head in the photograph by the cartoon, rotated, scaled and placed as the portrait was taken.

    Args:
        rgb: the photograph, uint8 `[H, W, 3]`.
        portrait: the portrait taken from it.
        cartoon: the generator's output for the portrait, on white, uint8 `[256, 256, 3]`.

    Returns:
        uint8 `[H, W, 3]`; pixels where the portrait's alpha is 0 are the photograph's own.
    """
    height, width = rgb.shape[:2]
    alpha = portrait.rgba[..., 3:].astype(np.float32) / 255
    fade = _fade()[..., None]
    # The cartoon is composited on white already; subtract the white so the photograph shows through in its place.
    faded = (cartoon.astype(np.float32) - 255 * (1 - alpha)) * fade
    layer = np.dstack([faded, alpha * fade])
    left, top, right, bottom = _place(portrait.matrix, width, height)
    if right <= left or bottom <= top:
        return rgb.copy()
    # From pixels of this part of the photograph to portrait pixels.
    matrix = portrait.matrix.copy()
    matrix[:, 2] += portrait.matrix[:, :2] @ (left, top)
    layer = cv2.warpAffine(
        layer, matrix, (right - left, bottom - top), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderValue=0
    )
    pasted = rgb.copy()
    part = pasted[top:bottom, left:right]
    blended = part * (1 - layer[..., 3:]) + layer[..., :3]
    part[:] = np.where(layer[..., 3:] > 0, np.clip(np.rint(blended), 0, 255), part).astype(np.uint8)
    return pasted


def _fade() -> np.ndarray:
    """Return a mask that is 1 inside, 0 at the edge and smooth between: float32 `[256, 256]`."""
    distance = np.minimum(np.arange(SIZE), np.arange(SIZE)[::-1]) / (SIZE * FADE)
    ramp = np.clip(distance, 0, 1).astype(np.float32)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return np.minimum(ramp[:, None], ramp[None])


def _place(matrix: np.ndarray, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the smallest upright box in the photograph that contains the portrait: left, top, right, bottom."""
    back = cv2.invertAffineTransform(matrix)
    corners = np.array([(x, y, 1) for x in (0, SIZE - 1) for y in (0, SIZE - 1)]) @ back.T
    left, top = np.floor(corners.min(axis=0)).astype(int)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 1
    return max(left, 0), max(top, 0), min(right, width), min(bottom, height)
