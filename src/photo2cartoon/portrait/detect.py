"""Where the faces are: boxes by dlib's HOG or mmod, or by face-alignment's S3FD or BlazeFace."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

# HOG sees faces from 80 px on; a photograph scaled to these longest sides is searched in turn until one is found.
SEARCH_SIDES = (640, 1280)
# HOG also sees faces in badges and folds; what it is this much less sure of than of the best is taken for one of those.
DOUBTFUL = 0.25
# mmod sees faces from some 70 px on and takes 0.4 s at the first of these sides, some ten at the last.
MMOD_SIDES = (320, 640, 1280)
# S3FD sees faces from 16 px on: at this side, 1/40 of the picture.
SFD_SIDE = 640
# What BlazeFace was made for: it sees faces from about an eighth of the picture on.
BLAZEFACE_SIDE = 128


@dataclass(frozen=True)
class Box:
    """The box of a face.

    Args:
        left, top, right, bottom: pixels of the picture; it may reach beyond it.
        score: the detector's own; higher is surer, comparable within one picture only.
        of_hog: framed as HOG frames faces, which is how dlib's 68 points were taught.
    """

    left: float
    top: float
    right: float
    bottom: float
    score: float
    of_hog: bool = False

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        return self.left, self.top, self.right, self.bottom


class Detector(Protocol):
    """Anything that finds faces."""

    def __call__(self, rgb: np.ndarray) -> list[Box]:
        """The boxes of a uint8 `[H, W, 3]` RGB picture, in no order; none where no face is."""


class Hog:
    """dlib's detector of histograms of oriented gradients. Fast, needs no file, misses turned faces."""

    def __init__(self) -> None:
        import dlib

        self._detector = dlib.get_frontal_face_detector()

    def __call__(self, rgb: np.ndarray) -> list[Box]:
        """The boxes, without the doubtful ones."""
        for side in SEARCH_SIDES:
            small, scale = _shrunk(rgb, side)
            # Small pictures are doubled instead: dlib's own way to reach faces of 40 px.
            found, scores, _ = self._detector.run(small, 1 if max(rgb.shape[:2]) < side else 0, 0.0)
            if found:
                return _boxes(found, scores, scale, of_hog=True)
        return []


class Mmod:
    """dlib's convolutional detector (max-margin object detection, arXiv:1502.00046). Slow; sees turned faces too.

    Args:
        weights: `mmod_human_face_detector.dat`.
    """

    def __init__(self, weights: Path) -> None:
        import dlib

        self._detector = dlib.cnn_face_detection_model_v1(str(weights))

    def __call__(self, rgb: np.ndarray) -> list[Box]:
        """The boxes, without the doubtful ones; small sides first, because its time grows with the area."""
        for side in MMOD_SIDES:
            small, scale = _shrunk(rgb, side)
            found = self._detector(small, 0)
            if found or scale == 1:
                return _boxes([face.rect for face in found], [face.confidence for face in found], scale)
        return []


class Sfd:
    """S3FD (Zhang et al., ICCV 2017) as face-alignment runs it.

    Args:
        weights: `s3fd-619a316812.pth`; handed over by path, so that the package fetches nothing.
    """

    def __init__(self, weights: Path) -> None:
        from face_alignment.detection.sfd import FaceDetector

        self._detector = FaceDetector("cpu", path_to_detector=str(weights))

    def __call__(self, rgb: np.ndarray) -> list[Box]:
        """The boxes."""
        small, scale = _shrunk(rgb, SFD_SIDE)
        return _of_package(self._detector.detect_from_image(small), scale)


class BlazeFace:
    """BlazeFace (Bazarevsky et al., 2019, arXiv:1907.05047) as face-alignment runs it. The fastest; for portraits.

    Args:
        weights: `blazeface.pth`; both are handed over by path, so that the package fetches nothing.
        anchors: `anchors.npy`.
    """

    def __init__(self, weights: Path, anchors: Path) -> None:
        from face_alignment.detection.blazeface import FaceDetector

        self._detector = FaceDetector("cpu", path_to_detector=str(weights), path_to_anchor=str(anchors))

    def __call__(self, rgb: np.ndarray) -> list[Box]:
        """The boxes."""
        height, width = rgb.shape[:2]
        side = max(height, width)
        # The package cuts the middle square out, and with it faces off; a margin keeps the whole picture.
        square = cv2.copyMakeBorder(rgb, 0, side - height, 0, side - width, cv2.BORDER_CONSTANT)
        small = cv2.resize(square, (BLAZEFACE_SIDE, BLAZEFACE_SIDE), interpolation=cv2.INTER_AREA)
        return _of_package(self._detector.detect_from_image(small), BLAZEFACE_SIDE / side)


# What `portrait.detector` may say, and the assets that each takes.
DETECTORS = {
    "hog": (Hog, ()),
    "mmod": (Mmod, ("dlib_mmod",)),
    "sfd": (Sfd, ("sfd",)),
    "blazeface": (BlazeFace, ("blazeface", "blazeface_anchors")),
}


def _shrunk(rgb: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """The picture with its longer side at most `side`, and its scale."""
    scale = min(1.0, side / max(rgb.shape[:2]))
    if scale < 1:
        rgb = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return rgb, scale


def _boxes(rectangles: Iterable, scores: Iterable[float], scale: float, of_hog: bool = False) -> list[Box]:
    """dlib's rectangles in a picture of that scale; what is much less sure than the best is left out."""
    scores = list(scores)
    return [
        Box(*(edge * (1 / scale) for edge in (r.left(), r.top(), r.right(), r.bottom())), float(score), of_hog)
        for r, score in zip(rectangles, scores, strict=True)
        if score >= DOUBTFUL * max(scores)
    ]


def _of_package(found: Iterable, scale: float) -> list[Box]:
    """face-alignment's rows of left, top, right, bottom, score; where it finds nothing, it may give an empty row."""
    return [Box(*(float(edge) / scale for edge in row[:4]), float(row[4])) for row in found if len(row)]
