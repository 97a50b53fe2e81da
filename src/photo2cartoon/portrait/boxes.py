"""Bounding boxes of faces, which detectors return and landmark models start from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np

SAME_FACE = 0.3  # overlap of two boxes, from which on they are one face


@dataclass(frozen=True)
class Box:
    """Bounding box of a face.

    Args:
        left, top, right, bottom: image pixels; the box may extend beyond the image.
        score: the detector's own confidence; higher is surer, comparable only within one image.
        of_hog: whether HOG framed the box; dlib's 68-point predictor was trained on such boxes.
        angle: of the line between the eyes, radians, 0 is level; detectors that do not know it say 0.
    """

    left: float
    top: float
    right: float
    bottom: float
    score: float
    of_hog: bool = False
    angle: float = 0.0

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        return self.left, self.top, self.right, self.bottom

    @property
    def area(self) -> float:
        """Area in square pixels."""
        return (self.right - self.left) * (self.bottom - self.top)


class Detector(Protocol):
    """Interface of a face detector."""

    finds_turned: bool  # whether it finds faces that are sideways or upside down by itself

    def __call__(self, rgb: np.ndarray, everybody: bool = False) -> Iterable[list[Box]]:
        """Search a uint8 `[H, W, 3]` RGB image, in one way or in several, quick ones first.

        Each search gives its boxes in any order; the caller stops at the first that leads to a face.

        Args:
            rgb: the image.
            everybody: also search for smaller faces when there is a large one.
        """


def rotated(rgb: np.ndarray, quarters: int) -> np.ndarray:
    """Turn a picture by 1 to 3 quarters as `np.rot90` does, ten times as fast."""
    turns = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}
    return cv2.rotate(rgb, turns[quarters])


def turned_back(box: Box, quarters: int, width: int, height: int) -> Box:
    """Return a box found in a picture that was `rotated`, in the original of this width and height."""
    corners = np.array([[box.left, box.top], [box.right, box.bottom]])
    x, y = points_turned_back(corners, quarters, width, height).T
    angle = float(np.arctan2(np.sin(turned := box.angle + quarters * np.pi / 2), np.cos(turned)))
    return replace(box, left=min(x), top=min(y), right=max(x), bottom=max(y), angle=angle)


def points_turned_back(points: np.ndarray, quarters: int, width: int, height: int) -> np.ndarray:
    """Return points `[N, 2]` found in a picture that was `rotated`, in the original of this width and height."""
    x, y = points.T
    back = {1: (width - 1 - y, x), 2: (width - 1 - x, height - 1 - y), 3: (y, height - 1 - x)}
    return np.column_stack(back[quarters])


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes: left, top, right, bottom."""
    both = _intersection(one, other)
    return both / (_area(one) + _area(other) - both) if both else 0.0


def shared(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection of two boxes over the area of the smaller one."""
    both = _intersection(one, other)
    return both / min(_area(one), _area(other)) if both else 0.0


def edges_of(points: np.ndarray) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of points `[N, 2]`."""
    return (*points.min(axis=0), *points.max(axis=0))


def _intersection(one: Sequence[float], other: Sequence[float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return float(max(width, 0) * max(height, 0))


def _area(edges: Sequence[float]) -> float:
    return float((edges[2] - edges[0]) * (edges[3] - edges[1]))


def without_duplicates(boxes: Sequence[Box]) -> list[Box]:
    """Keep the surest of boxes that overlap by more than `SAME_FACE`, the surest first."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda box: -box.score):
        if all(overlap(box.edges, other.edges) <= SAME_FACE for other in kept):
            kept.append(box)
    return kept
