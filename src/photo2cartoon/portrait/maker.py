"""Makes one portrait from one photograph: find the face, level, crop, cut out the person, resize."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from photo2cartoon.portrait.align import crop_side, level_and_crop, resized, scaled
from photo2cartoon.portrait.decode import (
    MAX_BYTES,
    MAX_PIXELS,
    PictureError,
    decode,
    decode_coarsely,
    read_picture,
)
from photo2cartoon.portrait.find import Face, Finder
from photo2cartoon.portrait.models import DETECTORS, LANDMARKS, SEGMENTERS
from photo2cartoon.portrait.segment import Segmenter

SIZE = 256  # side of every portrait, as in photo2cartoon
# Larger crops are shrunk before segmentation; a mask of 256 px gains nothing from more pixels.
LARGEST_CROP = 1024
# Photographs are searched for faces with at least this many pixels on the longer side; a crop has enough pixels if it
# has this many times those of the portrait.
SEARCH_SIDE, ENOUGH = 800, 1.5


class Choice(Protocol):
    """Selects detector, landmarks and segmentation by their names in params.yaml; its `portrait` section is one."""

    detector: str
    landmarks: str
    segmentation: str
    min_face: int


@dataclass(frozen=True)
class Portrait:
    """An aligned, cut-out face.

    Args:
        rgba: uint8 `[256, 256, 4]`; alpha is 255 for the person, 0 for the background; colours are the photograph's.
        faces: number of faces found; the largest was taken.
        face_width: width of the landmarks in the photograph, pixels.
        matrix: float64 `[2, 3]`, from photograph pixels to portrait pixels.
        points: float64 `[68, 2]`, the landmarks in photograph pixels.
    """

    rgba: np.ndarray
    faces: int
    face_width: int
    matrix: np.ndarray
    points: np.ndarray


class PortraitMaker:
    """Makes portraits from photographs. Building one takes a second and calls are cheap, so use one per process.

    Args:
        finder: finds faces and their landmarks.
        segmenter: separates the person from the background; RGB uint8 `[H, W, 3]` to uint8 `[H, W]`.
        min_face: minimum width of the landmarks, pixels; smaller faces are not worth translating.
    """

    def __init__(self, finder: Finder, segmenter: Segmenter, min_face: int = 64) -> None:
        self.finder, self.segmenter, self.min_face = finder, segmenter, min_face

    @classmethod
    def from_weights(
        cls,
        weights: Path | str,
        landmarks: str = "mediapipe",
        min_face: int = 64,
        check: bool = True,
        detector: str = "mediapipe",
        segmentation: str = "selfie",
    ) -> PortraitMaker:
        """Build a portrait maker from the files in a weights folder.

        Args:
            weights: folder that the `assets` stage filled.
            landmarks: `mediapipe`, `dlib` or `face-alignment`.
            min_face: as above.
            check: verify the files' hashes; turn off only if the caller has just done so.
            detector: `mediapipe`, `hog`, `mmod`, `sfd` or `blazeface`.
            segmentation: `selfie`, `sinet` or `photo2cartoon`.

        Raises:
            UserError: a file is missing or its hash is wrong.
        """
        from photo2cartoon.assets.catalogue import asset_path, find_asset

        find = find_asset if check else asset_path
        parts = [
            (kind, [find(name, weights) for name in names])
            for kind, names in (DETECTORS[detector], LANDMARKS[landmarks], SEGMENTERS[segmentation])
        ]
        detect, points, segmenter = (kind(*files) for kind, files in parts)
        return cls(Finder(detect, points), segmenter, min_face)

    @classmethod
    def from_params(cls, weights: Path | str, portrait: Choice, check: bool = True) -> PortraitMaker:
        """Build a portrait maker as the `portrait` section of params.yaml configures it."""
        return cls.from_weights(
            weights, portrait.landmarks, portrait.min_face, check, portrait.detector, portrait.segmentation
        )

    def __call__(self, rgb: np.ndarray) -> Portrait:
        """Make the portrait of the largest face.

        Args:
            rgb: uint8 `[H, W, 3]`; without a face it is searched again sideways and upside down.

        Raises:
            PictureError: there is no face, or only one that is too small.
        """
        faces = self._search(rgb)
        return self.cut(rgb, _largest(faces).points, len(faces))

    def of(self, picture: bytes | Path, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> Portrait:
        """Make the portrait of the largest face of an encoded photograph, or of the file with one.

        A JPEG is searched at a fraction of its size. Only if no face is found there, or one with too few pixels, is all of
        it decoded.

        Args:
            picture: an encoded image, or the path of one.
            max_pixels, max_bytes: limits, as for `decode`.

        Raises:
            PictureError: the image cannot be decoded, there is no face, or only one that is too small.
        """
        data = read_picture(picture, max_bytes)
        rgb, scale = decode_coarsely(data, SEARCH_SIDE, max_pixels, max_bytes)
        found = self._search(rgb)
        if not found and scale < 1:
            rgb, scale = decode(data, max_pixels, max_bytes), 1.0
            found = self._search(rgb)
        points = _largest(found).points
        if scale < 1 and crop_side(points) < ENOUGH * SIZE:
            rgb, points, scale = decode(data, max_pixels, max_bytes), scaled(points, 1 / scale), 1.0
        return self.cut(rgb, points, len(found), scale)

    def _search(self, rgb: np.ndarray) -> list[Face]:
        return self.finder(rgb) or self.finder.turned(rgb)

    def cut(self, rgb: np.ndarray, points: np.ndarray, faces: int = 1, scale: float = 1.0) -> Portrait:
        """Make the portrait of a face whose landmarks are known.

        Args:
            rgb: uint8 `[H, W, 3]`, upright.
            points: `[68, 2]`, x and y in pixels of `rgb`.
            faces: number of faces found, recorded in the portrait.
            scale: of `rgb`, relative to the photograph.

        Raises:
            PictureError: the face is too small.
        """
        width = int(np.ptp(points[:, 0]) / scale)
        if width < self.min_face:
            raise PictureError("too small", f"the face is {width} pixels wide, at least {self.min_face} are needed")
        crop, matrix = level_and_crop(rgb, points)
        matrix = resized(matrix, len(crop), SIZE)
        matrix[:, 2] += matrix[:, :2].sum(axis=1) * (scale - 1) / 2
        matrix[:, :2] *= scale
        if len(crop) > LARGEST_CROP:
            crop = cv2.resize(crop, (LARGEST_CROP, LARGEST_CROP), interpolation=cv2.INTER_AREA)
        rgba = np.dstack([crop, self.segmenter(crop)])
        interpolation = cv2.INTER_AREA if len(crop) > SIZE else cv2.INTER_LINEAR
        rgba = cv2.resize(rgba, (SIZE, SIZE), interpolation=interpolation)
        return Portrait(rgba, faces, width, matrix, scaled(points, 1 / scale))


def _largest(faces: list[Face]) -> Face:
    if not faces:
        raise PictureError("no face", "no face was found in the picture")
    return faces[0]


def check_weights(weights: Path | str, portrait: Choice) -> None:
    """Verify the files that a portrait maker needs, without building one.

    Raises:
        UserError: a needed file is missing or its hash is wrong.
    """
    from photo2cartoon.assets.catalogue import find_asset

    for name in required_assets(portrait):
        find_asset(name, weights)


def required_assets(portrait: Choice) -> list[str]:
    """Return the names of the assets that the selected models need."""
    chosen = (DETECTORS[portrait.detector], LANDMARKS[portrait.landmarks], SEGMENTERS[portrait.segmentation])
    return [name for _, names in chosen for name in names]


def on_white(rgba: np.ndarray) -> np.ndarray:
    """Composite a portrait on white: uint8 `[..., 4]` to uint8 `[..., 3]`, rounded to nearest."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
