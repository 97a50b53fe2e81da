"""The models of each step of a portrait, by their names in params.yaml: the class, and the assets it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from photo2cartoon.portrait.detect import BlazeFace, Hog, Mmod, Sfd
from photo2cartoon.portrait.landmarks import DlibLandmarks, FanLandmarks
from photo2cartoon.portrait.mediapipe import FullRange, Mesh
from photo2cartoon.portrait.segment import OnnxSegmenter, Photo2cartoonSegmenter, SelfieSegmenter


class Entry(NamedTuple):
    """A model.

    Args:
        kind: its class, which takes the files.
        assets: names of the files in the catalogue.
        threaded: whether the class also takes `threads`.
    """

    kind: Callable[..., Any]
    assets: tuple[str, ...] = ()
    threaded: bool = False

    def build(self, files: Sequence[Path], threads: int) -> Any:
        """Build the model from its files."""
        return self.kind(*files, **({"threads": threads} if self.threaded else {}))


DETECTORS = {
    "mediapipe": Entry(FullRange, ("mediapipe_detector",), threaded=True),
    "hog": Entry(Hog),
    "mmod": Entry(Mmod, ("dlib_mmod",)),
    "sfd": Entry(Sfd, ("sfd",)),
    "blazeface": Entry(BlazeFace, ("blazeface", "blazeface_anchors")),
}
LANDMARKS = {
    "mediapipe": Entry(Mesh, ("mediapipe_mesh",), threaded=True),
    "dlib": Entry(DlibLandmarks, ("dlib_landmarks",)),
    "face-alignment": Entry(FanLandmarks, ("face_alignment_2dfan4",)),
}
SEGMENTERS = {
    "selfie": Entry(SelfieSegmenter, ("selfie_segmentation",), threaded=True),
    "sinet": Entry(OnnxSegmenter, ("sinet",), threaded=True),
    "photo2cartoon": Entry(Photo2cartoonSegmenter, ("photo2cartoon_segmentation",), threaded=True),
}
