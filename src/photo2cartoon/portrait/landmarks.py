"""Landmark models: the 68 points of a face in its box (iBUG 300-W order: jaw 0-16, brows, nose, eyes 36-47, mouth)."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from photo2cartoon.portrait.boxes import Box

# Side of HOG's box, and height of its centre above the mean of the 68 points; both in units of the points' root mean
# square distance from their mean. Medians over 160 photographs of the worldwide set.
HOG_SIDE, HOG_RISE = 2.79, 0.12


class Landmarks(Protocol):
    """Interface of a landmark model."""

    def __call__(self, rgb: np.ndarray, boxes: Sequence[Box]) -> Sequence[np.ndarray | None]:
        """Return float64 `[68, 2]`, x and y in pixels, for each box in a uint8 `[H, W, 3]` RGB image.

        None stands for a box without a face.
        """


class DlibLandmarks:
    """dlib's ensemble of regression trees (Kazemi and Sullivan, CVPR 2014).

    Args:
        weights: `shape_predictor_68_face_landmarks.dat`.
    """

    def __init__(self, weights: Path) -> None:
        import dlib

        self._rectangle = dlib.rectangle
        self._predictor = dlib.shape_predictor(str(weights))

    def __call__(self, rgb: np.ndarray, boxes: Sequence[Box]) -> list[np.ndarray]:
        """Return the points of each box.

        The trees start from where a face lies in HOG's boxes. Other detectors frame faces differently, which can put
        the points 15 px off. For their boxes, a first pass estimates HOG's box and a second takes the points in it.
        """
        found = []
        for box in boxes:
            points = self._points(rgb, box.edges)
            found.append(points if box.of_hog else self._points(rgb, hog_box(points)))
        return found

    def _points(self, rgb: np.ndarray, edges: Sequence[float]) -> np.ndarray:
        shape = self._predictor(rgb, self._rectangle(*(round(edge) for edge in edges)))
        return np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float64)


class FanLandmarks:
    """face-alignment's 2D-FAN-4 (Bulat and Tzimiropoulos, ICCV 2017).

    Args:
        weights: `2DFAN4-11f355bf06.pth.tar`, found by file name, so the package downloads nothing.
    """

    def __init__(self, weights: Path) -> None:
        with _torch_home(weights):
            import face_alignment

            # The "folder" detector detects nothing: the boxes come from our detectors. All of the package's detectors,
            # including HOG, S3FD and BlazeFace, share one reference scale (195), so it is right for boxes of any.
            self._fan = face_alignment.FaceAlignment(
                face_alignment.LandmarksType.TWO_D, device="cpu", face_detector="folder", compile=False
            )

    def __call__(self, rgb: np.ndarray, boxes: Sequence[Box]) -> list[np.ndarray]:
        """Return the points of each box."""
        if not boxes:
            return []
        found = self._fan.get_landmarks_from_image(rgb, detected_faces=[box.edges for box in boxes])
        return [np.asarray(points, dtype=np.float64) for points in found]


def hog_box(points: np.ndarray) -> tuple[float, float, float, float]:
    """Estimate HOG's box for a face with these points `[68, 2]`: left, top, right, bottom."""
    x, y = points.mean(axis=0)
    radius = float(np.sqrt(((points - (x, y)) ** 2).sum(axis=1).mean()))
    y, half = y - HOG_RISE * radius, HOG_SIDE * radius / 2
    return x - half, y - half, x + half, y + half


@contextlib.contextmanager
def _torch_home(*weights: Path) -> Iterator[None]:
    """Set TORCH_HOME to a temporary folder in which torch.hub finds exactly these files."""
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
