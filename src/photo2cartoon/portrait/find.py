"""Face finder: combines any detector's boxes with any landmark model's points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from photo2cartoon.portrait.boxes import Detector, edges_of, points_turned_back, rotated, shared
from photo2cartoon.portrait.landmarks import Landmarks

# Share of the smaller of the boxes around two sets of points, from which on both are one face: two boxes can lead to the
# same points, and a part of a large face can look like a small one.
SAME = 0.6
MOST_BOXES = 24  # landmarks are looked for in the largest boxes of a crowd


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

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the points."""
        return edges_of(self.points)


class Finder:
    """Finds faces and their landmarks.

    Args:
        detector: finds the boxes.
        landmarks: finds the points in them.
    """

    def __init__(self, detector: Detector, landmarks: Landmarks) -> None:
        self.detector, self.landmarks = detector, landmarks

    def __call__(self, rgb: np.ndarray, everybody: bool = False) -> list[Face]:
        """Return the faces of a uint8 `[H, W, 3]` RGB image, largest first.

        Args:
            rgb: the image.
            everybody: also search for smaller faces when there is a large one.
        """
        for boxes in self.detector(rgb, everybody):
            boxes = sorted(boxes, key=lambda box: -box.area)[:MOST_BOXES]
            found = self.landmarks(rgb, boxes)
            faces = [Face(points, box.score) for box, points in zip(boxes, found, strict=True) if points is not None]
            if faces:
                return _without_duplicates(sorted(faces, key=lambda face: -face.area))
        return []

    def turned(self, rgb: np.ndarray, everybody: bool = False) -> list[Face]:
        """Find the faces of an image that is sideways or upside down; stop at the first rotation that has any.

        Detectors that only know upright faces, such as dlib's HOG, find nothing in such an image as it is; others have
        looked already.
        """
        if self.detector.finds_turned:
            return []
        height, width = rgb.shape[:2]
        for quarters in (1, 3, 2):
            faces = self(rotated(rgb, quarters), everybody)
            if faces:
                return [Face(points_turned_back(face.points, quarters, width, height), face.score) for face in faces]
        return []


def _without_duplicates(faces: list[Face]) -> list[Face]:
    """Drop a face that lies on a larger one."""
    kept: list[Face] = []
    for face in faces:
        if all(shared(face.edges, other.edges) < SAME for other in kept):
            kept.append(face)
    return kept
