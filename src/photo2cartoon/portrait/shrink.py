"""Shrinks pictures by area."""

from __future__ import annotations

import cv2
import numpy as np


def shrunk(picture: np.ndarray, scale: float) -> np.ndarray:
    """Return a picture `[H, W, C]` at a scale below 1, by averaging; however thin it is, it keeps a pixel a side."""
    size = [round(edge * scale) for edge in picture.shape[1::-1]]
    if min(size) < 1:
        return cv2.resize(picture, [max(1, edge) for edge in size], interpolation=cv2.INTER_AREA)
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
