"""Face detectors of dlib (HOG and mmod) and of face-alignment (S3FD and BlazeFace). They always find everybody."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from photo2cartoon.portrait.boxes import Box
from photo2cartoon.portrait.shrink import shrunk

# HOG detects faces from 80 px; the photograph is searched at each of these longest sides until a face is found.
SEARCH_SIDES = (640, 1280)
# HOG also fires on badges and folds; detections that score below this fraction of the best one are dropped.
DOUBTFUL = 0.25
# mmod detects faces from about 70 px; it takes 0.4 s at the first of these sides and about 10 s at the last.
MMOD_SIDES = (320, 640, 1280)
# S3FD detects faces from 16 px, which is 1/40 of the image at this side.
SFD_SIDE = 640
# BlazeFace's native input side; it detects faces from about an eighth of the image.
BLAZEFACE_SIDE = 128


class Hog:
    """dlib's histogram of oriented gradients detector. It is fast, needs no weights file and misses turned faces."""

    finds_turned = False

    def __init__(self) -> None:
        import dlib

        self._detector = dlib.get_frontal_face_detector()

    def __call__(self, rgb: np.ndarray, everybody: bool = False) -> Iterable[list[Box]]:
        """Return the boxes without the doubtful ones."""
        for side in SEARCH_SIDES:
            small, scale = _shrunk(rgb, side)
            # Small images are doubled instead, by dlib's own upsampling, which reaches faces of 40 px.
            found, scores, _ = self._detector.run(small, 1 if max(rgb.shape[:2]) < side else 0, 0.0)
            if found:
                return [_boxes(found, scores, scale, of_hog=True)]
        return []


class Mmod:
    """dlib's convolutional detector (max-margin object detection, arXiv:1502.00046). Slow, but detects turned faces.

    Args:
        weights: `mmod_human_face_detector.dat`.
    """

    finds_turned = False

    def __init__(self, weights: Path) -> None:
        import dlib

        self._detector = dlib.cnn_face_detection_model_v1(str(weights))

    def __call__(self, rgb: np.ndarray, everybody: bool = False) -> Iterable[list[Box]]:
        """Return the boxes without the doubtful ones; small sides come first because the time grows with the area."""
        for side in MMOD_SIDES:
            small, scale = _shrunk(rgb, side)
            found = self._detector(small, 0)
            if found or scale == 1:
                return [_boxes([face.rect for face in found], [face.confidence for face in found], scale)]
        return []


class Sfd:
    """S3FD (Zhang et al., ICCV 2017) as face-alignment runs it.

    Args:
        weights: `s3fd-619a316812.pth`; passed by path, so the package downloads nothing.
    """

    finds_turned = False

    def __init__(self, weights: Path) -> None:
        from face_alignment.detection.sfd import FaceDetector

        self._detector = FaceDetector("cpu", path_to_detector=str(weights))

    def __call__(self, rgb: np.ndarray, everybody: bool = False) -> Iterable[list[Box]]:
        """Return the boxes."""
        small, scale = _shrunk(rgb, SFD_SIDE)
        return [_of_package(self._detector.detect_from_image(small), scale)]


class BlazeFace:
    """BlazeFace (Bazarevsky et al., 2019, arXiv:1907.05047) as face-alignment runs it; fastest, for portraits.

    Args:
        weights: `blazeface.pth`; both files are passed by path, so the package downloads nothing.
        anchors: `anchors.npy`.
    """

    finds_turned = False

    def __init__(self, weights: Path, anchors: Path) -> None:
        from face_alignment.detection.blazeface import FaceDetector

        self._detector = FaceDetector("cpu", path_to_detector=str(weights), path_to_anchor=str(anchors))

    def __call__(self, rgb: np.ndarray, everybody: bool = False) -> Iterable[list[Box]]:
        """Return the boxes."""
        height, width = rgb.shape[:2]
        side = max(height, width)
        # The package crops the middle square, which can cut faces off; padding to a square keeps the whole image.
        square = cv2.copyMakeBorder(rgb, 0, side - height, 0, side - width, cv2.BORDER_CONSTANT)
        small = cv2.resize(square, (BLAZEFACE_SIDE, BLAZEFACE_SIDE), interpolation=cv2.INTER_AREA)
        return [_of_package(self._detector.detect_from_image(small), BLAZEFACE_SIDE / side)]


def _shrunk(rgb: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """Return the image with its longer side at most `side`, and its scale."""
    scale = min(1.0, side / max(rgb.shape[:2]))
    if scale < 1:
        rgb = shrunk(rgb, scale)
    return rgb, scale


def _boxes(rectangles: Iterable, scores: Iterable[float], scale: float, of_hog: bool = False) -> list[Box]:
    """Convert dlib's rectangles from an image of that scale; drop those with scores far below the best."""
    scores, back = list(scores), 1 / scale
    return [
        Box(r.left() * back, r.top() * back, r.right() * back, r.bottom() * back, float(score), of_hog)
        for r, score in zip(rectangles, scores, strict=True)
        if score >= DOUBTFUL * max(scores)
    ]


def _of_package(found: Iterable, scale: float) -> list[Box]:
    """Convert face-alignment's rows of left, top, right, bottom, score; without a face it may return an empty row."""
    rows = ([float(number) for number in row[:5]] for row in found if len(row))
    return [Box(row[0] / scale, row[1] / scale, row[2] / scale, row[3] / scale, row[4]) for row in rows]
