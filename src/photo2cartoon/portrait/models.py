"""The models of each step of a portrait, by their names in params.yaml: the class, and the assets it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from photo2cartoon.portrait.detect import BlazeFace, Hog, Mmod, Sfd
from photo2cartoon.portrait.landmarks import DlibLandmarks, FanLandmarks
from photo2cartoon.portrait.mediapipe import FullRange, Mesh
from photo2cartoon.portrait.segment import OnnxSegmenter, Photo2cartoonSegmenter, SelfieSegmenter

Entry = tuple[Callable[..., Any], tuple[str, ...]]

DETECTORS: dict[str, Entry] = {
    "mediapipe": (FullRange, ("mediapipe_detector",)),
    "hog": (Hog, ()),
    "mmod": (Mmod, ("dlib_mmod",)),
    "sfd": (Sfd, ("sfd",)),
    "blazeface": (BlazeFace, ("blazeface", "blazeface_anchors")),
}
LANDMARKS: dict[str, Entry] = {
    "mediapipe": (Mesh, ("mediapipe_mesh",)),
    "dlib": (DlibLandmarks, ("dlib_landmarks",)),
    "face-alignment": (FanLandmarks, ("face_alignment_2dfan4",)),
}
SEGMENTERS: dict[str, Entry] = {
    "selfie": (SelfieSegmenter, ("selfie_segmentation",)),
    "sinet": (OnnxSegmenter, ("sinet",)),
    "photo2cartoon": (Photo2cartoonSegmenter, ("photo2cartoon_segmentation",)),
}
