"""Face finder: combines any detector's boxes with any landmark model's points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from photo2cartoon.portrait.detect import Detector
from photo2cartoon.portrait.landmarks import Landmarks


@dataclass(frozen=True)
class Face:
    """A face in an image.

    Args:
        points: float64 `[68, 2]`, x and y in image pixels.
        score: the detector's own confidence; higher is surer, comparable only within one image.
    """

    points: np.ndarray
    score: float

    @property
    def area(self) -> float:
        """Area of the points' bounding box in square pixels."""
        width, height = np.ptp(self.points, axis=0)
        return float(width * height)


class Finder:
    """Finds faces and their landmarks.

    Args:
        detector: finds the boxes.
        landmarks: finds the points in them.
    """

    def __init__(self, detector: Detector, landmarks: Landmarks) -> None:
        self.detector, self.landmarks = detector, landmarks

    def __call__(self, rgb: np.ndarray) -> list[Face]:
        """Return every face of a uint8 `[H, W, 3]` RGB image, largest first."""
        boxes = self.detector(rgb)
        found = self.landmarks(rgb, boxes)
        faces = [Face(points, box.score) for box, points in zip(boxes, found, strict=True)]
        return sorted(faces, key=lambda face: -face.area)

    def turned(self, rgb: np.ndarray) -> list[Face]:
        """Find the faces of an image that is sideways or upside down; stop at the first rotation that has any.

        Detectors that only know upright faces, such as dlib's default, find nothing in such an image as it is.
        """
        height, width = rgb.shape[:2]
        for quarters, back in (
            (1, lambda x, y: (width - 1 - y, x)),
            (3, lambda x, y: (y, height - 1 - x)),
            (2, lambda x, y: (width - 1 - x, height - 1 - y)),
        ):
            faces = self(np.ascontiguousarray(np.rot90(rgb, quarters)))
            if faces:
                return [Face(np.column_stack(back(*face.points.T)), face.score) for face in faces]
        return []
