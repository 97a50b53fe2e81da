"""Where the faces are, and their 68 points (the iBUG 300-W order: jaw 0-16, brows, nose, eyes 36-47, mouth)."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

# HOG sees faces from 80 px on; a photograph scaled to these longest sides is searched in turn until one is found.
SEARCH_SIDES = (640, 1280)
# HOG also sees faces in badges and folds; what it is this much less sure of than of the best is taken for one of those.
DOUBTFUL = 0.25


@dataclass(frozen=True)
class Face:
    """A face in a picture.

    Args:
        points: float64 `[68, 2]`, x and y in pixels of the picture.
        score: the detector's own; higher is surer, comparable within one picture only.
    """

    points: np.ndarray
    score: float

    @property
    def area(self) -> float:
        """Area of the points' bounding box in square pixels."""
        width, height = np.ptp(self.points, axis=0)
        return float(width * height)


class Finder(Protocol):
    """Anything that finds faces."""

    def __call__(self, rgb: np.ndarray) -> list[Face]:
        """Every face of a uint8 `[H, W, 3]` RGB picture, the largest first."""


class DlibFinder:
    """dlib's HOG detector and its ensemble of regression trees (Kazemi and Sullivan, CVPR 2014).

    Args:
        landmarks: `shape_predictor_68_face_landmarks.dat`.
    """

    def __init__(self, landmarks: Path) -> None:
        import dlib

        self._dlib = dlib
        self._detector = dlib.get_frontal_face_detector()
        self._predictor = dlib.shape_predictor(str(landmarks))

    def boxes(self, rgb: np.ndarray) -> list[tuple[object, float]]:
        """Rectangles in pixels of `rgb` with their scores."""
        side = max(rgb.shape[:2])
        for target in SEARCH_SIDES:
            scale = min(1.0, target / side)
            small = rgb
            if scale < 1:
                small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            # Small pictures are doubled instead: dlib's own way to reach faces of 40 px.
            upsample = 1 if side < target else 0
            found, scores, _ = self._detector.run(small, upsample, 0.0)
            if found:
                factor = 1 / scale
                return [
                    (self._dlib.rectangle(*(round(edge * factor) for edge in _edges(box))), score)
                    for box, score in zip(found, scores, strict=True)
                    if score >= DOUBTFUL * max(scores)
                ]
        return []

    def __call__(self, rgb: np.ndarray) -> list[Face]:
        """Every face, the largest first."""
        faces = []
        for box, score in self.boxes(rgb):
            shape = self._predictor(rgb, box)
            points = np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float64)
            faces.append(Face(points, float(score)))
        return sorted(faces, key=lambda face: -face.area)


def _edges(box: object) -> tuple[int, int, int, int]:
    return box.left(), box.top(), box.right(), box.bottom()


class FaceAlignmentFinder:
    """face-alignment's 2D-FAN-4 points (Bulat and Tzimiropoulos, ICCV 2017) in boxes of dlib's HOG.

    Args:
        weights: `2DFAN4-11f355bf06.pth.tar`, found by name so that the package fetches nothing.
    """

    def __init__(self, weights: Path) -> None:
        with _torch_home(weights):
            import face_alignment

            self._finder = face_alignment.FaceAlignment(
                face_alignment.LandmarksType.TWO_D, device="cpu", face_detector="dlib", compile=False
            )

    def __call__(self, rgb: np.ndarray) -> list[Face]:
        """Every face, the largest first."""
        points, scores, _ = self._finder.get_landmarks_from_image(rgb, return_landmark_score=True) or (None, None, None)
        faces = [
            Face(np.asarray(shape, dtype=np.float64), float(np.mean(score)))
            for shape, score in zip(points or [], scores or [], strict=True)
        ]
        return sorted(faces, key=lambda face: -face.area)


@contextlib.contextmanager
def _torch_home(*weights: Path):
    """A TORCH_HOME in which torch.hub finds exactly these files."""
    with tempfile.TemporaryDirectory() as home:
        checkpoints = Path(home) / "hub" / "checkpoints"
        checkpoints.mkdir(parents=True)
        for path in weights:
            (checkpoints / path.name).symlink_to(path.resolve())
        before = os.environ.get("TORCH_HOME")
        os.environ["TORCH_HOME"] = home
        try:
            yield
        finally:
            if before is None:
                del os.environ["TORCH_HOME"]
            else:
                os.environ["TORCH_HOME"] = before
