"""Shows how a portrait was made: face, points, level, crop and mask, drawn on the photograph."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from photo2cartoon.portrait.align import LEFT_EYE_CORNER, RIGHT_EYE_CORNER, eye_angle, scaled
from photo2cartoon.portrait.background import on_white
from photo2cartoon.portrait.maker import Portrait
from photo2cartoon.portrait.shrink import shrunk

SIDE = 768  # of the shown photograph, at most; and of the portrait beside it
FACE, POINT, EYES, CROP = (60, 140, 255), (255, 220, 0), (255, 60, 60), (40, 200, 80)
PALE = 0.65  # share of white over what was cut away


def explain(rgb: np.ndarray, portraits: Sequence[Portrait]) -> np.ndarray:
    """Draw a photograph with what was found in it, and the portraits beside it.

    Blue: the box around the points. Yellow: the 68 points. Red: the line between the eyes, with its angle in degrees.
    Green: the crop. What the mask cuts away inside the crop is pale.

    Args:
        rgb: the photograph, uint8 `[H, W, 3]`.
        portraits: the portraits made from it.

    Returns:
        uint8 `[H', W', 3]`.
    """
    shown, scale = _reduced(rgb)
    matrices = [_from_shown(portrait.matrix, scale) for portrait in portraits]
    for portrait, matrix in zip(portraits, matrices, strict=True):
        shown = _with_mask(shown, portrait.rgba[..., 3], matrix)
    for portrait, matrix in zip(portraits, matrices, strict=True):
        _mark(shown, portrait, matrix, scale)
    side = len(shown)
    beside = [cv2.resize(on_white(each.rgba), (side, side), interpolation=cv2.INTER_CUBIC) for each in portraits]
    return np.hstack([shown, *beside])


def explain_refusal(rgb: np.ndarray, faces: Sequence[np.ndarray], reason: str) -> np.ndarray:
    """Draw a photograph without a portrait: the faces found in it, and the reason on a strip below.

    Args:
        rgb: the photograph, uint8 `[H, W, 3]`.
        faces: landmarks `[68, 2]` of each face that was found, x and y in pixels of `rgb`.
        reason: ASCII text.

    Returns:
        uint8 `[H', W', 3]`.
    """
    shown, scale = _reduced(rgb)
    for points in faces:
        _mark_face(shown, points, scale)
    width = max(shown.shape[1], 11 * len(reason))
    strip = np.full((40, width, 3), 255, np.uint8)
    cv2.putText(strip, reason, (8, 26), cv2.FONT_HERSHEY_SIMPLEX, 0.6, EYES, 1, cv2.LINE_AA)
    beside = width - shown.shape[1]
    return np.vstack([np.pad(shown, ((0, 0), (0, beside), (0, 0)), constant_values=255), strip])


def _reduced(rgb: np.ndarray) -> tuple[np.ndarray, float]:
    """Return a copy of the photograph with at most `SIDE` pixels a side, and its scale."""
    scale = min(1.0, SIDE / max(rgb.shape[:2]))
    return (shrunk(rgb, scale) if scale < 1 else rgb.copy()), scale


def _from_shown(matrix: np.ndarray, scale: float) -> np.ndarray:
    """Return the matrix from pixels of the shown photograph to those of the portrait."""
    matrix = matrix.copy()
    matrix[:, 2] += matrix[:, :2].sum(axis=1) * (1 / scale - 1) / 2
    matrix[:, :2] /= scale
    return matrix


def _mark(shown: np.ndarray, portrait: Portrait, matrix: np.ndarray, scale: float) -> None:
    last = len(portrait.rgba) - 1
    corners = np.array([(x, y, 1) for x, y in ((0, 0), (last, 0), (last, last), (0, last))])
    crop = corners @ cv2.invertAffineTransform(matrix).T
    cv2.polylines(shown, [np.rint(crop).astype(np.int32)], True, CROP, 2, cv2.LINE_AA)
    _mark_face(shown, portrait.points, scale)


def _mark_face(shown: np.ndarray, landmarks: np.ndarray, scale: float) -> None:
    points = scaled(landmarks, scale)
    low, high = points.min(axis=0), points.max(axis=0)
    cv2.rectangle(shown, _pixel(low), _pixel(high), FACE, 2, cv2.LINE_AA)
    for point in points:
        cv2.circle(shown, _pixel(point), 2, POINT, -1, cv2.LINE_AA)
    cv2.line(shown, _pixel(points[LEFT_EYE_CORNER]), _pixel(points[RIGHT_EYE_CORNER]), EYES, 2, cv2.LINE_AA)
    place = _pixel((low[0], max(low[1] - 8, 16)))
    text = f"{np.degrees(eye_angle(points)):.1f} degrees, {int(np.ptp(landmarks[:, 0]))} px"
    for colour, width in (((255, 255, 255), 4), (EYES, 1)):
        cv2.putText(shown, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, width, cv2.LINE_AA)


def _with_mask(shown: np.ndarray, alpha: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Pale what the mask cuts away inside the crop."""
    size = shown.shape[1::-1]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    away = cv2.warpAffine(255 - alpha, matrix, size, flags=flags, borderValue=0).astype(np.float32)[..., None] / 255
    return np.rint(shown + (255 - shown.astype(np.float32)) * away * PALE).astype(np.uint8)


def _pixel(point: np.ndarray | tuple[float, float]) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
