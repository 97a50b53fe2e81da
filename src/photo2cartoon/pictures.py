"""Images for people to look at: captioned grids, heat maps, PNG encoding."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

CAPTION = 26
GridRow = tuple[str, Sequence[np.ndarray]]  # a caption and its images


def grid(rows: Sequence[GridRow], side: int = 160) -> np.ndarray:
    """Compose rows of images into a grid, each row with its caption above.

    Args:
        rows: caption and images of each row; uint8 RGB `[H, W, 3]` of any size, resized to squares of `side`.
        side: pixels.

    Returns:
        uint8 RGB `[H, W, 3]`.
    """
    width = side * max(len(pictures) for _, pictures in rows)
    parts = []
    for caption, pictures in rows:
        head = np.full((CAPTION, width, 3), 255, np.uint8)
        cv2.putText(head, caption, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (60, 60, 60), 1, cv2.LINE_AA)
        line = np.full((side, width, 3), 255, np.uint8)
        for column, picture in enumerate(pictures):
            shrinks = side < len(picture)
            small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
            line[:, column * side : (column + 1) * side] = small
        parts += [head, line]
    return np.vstack(parts)


def heatmap_on(picture: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """Overlay a heat map on an image, red where it is hottest.

    Args:
        picture: uint8 RGB `[S, S, 3]`.
        heatmap: floats `[h, w]`, any range.
    """
    low, high = float(heatmap.min()), float(heatmap.max())
    level = (255 * (heatmap - low) / max(high - low, 1e-12)).astype(np.uint8)
    large = cv2.resize(level, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    colours = cv2.cvtColor(cv2.applyColorMap(large, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
    return cv2.addWeighted(picture, 0.5, colours, 0.5, 0)


def encode_png(rgb: np.ndarray) -> bytes:
    """Encode uint8 RGB `[H, W, 3]` or RGBA `[H, W, 4]` as PNG."""
    swap = cv2.COLOR_RGBA2BGRA if rgb.shape[-1] == 4 else cv2.COLOR_RGB2BGR
    return cv2.imencode(".png", cv2.cvtColor(rgb, swap))[1].tobytes()


def decode_png(png: bytes) -> np.ndarray:
    """Decode the output of `encode_png` to uint8 RGB `[H, W, 3]`."""
    bgr = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None  # it is whole
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
