"""Makes portraits from a photograph: find the faces, level, crop, cut out the person, resize."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from photo2cartoon.portrait.align import crop_side, level_and_crop, resized, scaled
from photo2cartoon.portrait.boxes import edges_of
from photo2cartoon.portrait.cutout import follow_edges, own_colours, own_part
from photo2cartoon.portrait.decode import PictureError
from photo2cartoon.portrait.find import Face, Finder
from photo2cartoon.portrait.models import DETECTORS, LANDMARKS, SEGMENTERS
from photo2cartoon.portrait.photograph import Photograph
from photo2cartoon.portrait.segment import Segmenter

SIZE = 256  # side of a portrait, as in photo2cartoon
SIZES = (SIZE, 512)  # sides that can be chosen
# Side of a portrait at the size that the head has in the photograph: a multiple of STEP from SIZE to LARGEST.
STEP, LARGEST = 64, 1024
# Photographs are searched with at least this many pixels on the longer side, for one face and for all; a crop has
# enough pixels if it has this many times those of the portrait.
SEARCH_SIDE, SEARCH_SIDE_ALL, ENOUGH = 800, 1600, 1.5
MOST_FACES = 10  # portraits of one photograph, the largest faces


class Choice(Protocol):
    """Selects detector, landmarks and segmentation by their names in params.yaml; its `portrait` section is one."""

    @property
    def detector(self) -> str: ...
    @property
    def landmarks(self) -> str: ...
    @property
    def segmentation(self) -> str: ...
    @property
    def min_face(self) -> int: ...


@dataclass(frozen=True)
class Portrait:
    """An aligned, cut-out face.

    Args:
        rgba: uint8 `[S, S, 4]`; alpha is 255 for the person, 0 for the background; colours are the photograph's. Above
            256 px, alpha follows the photograph's edges, and colours on the edge are the person's own.
        faces: number of faces found in the photograph.
        face_width: width of the landmarks in the photograph, pixels.
        matrix: float64 `[2, 3]`, from photograph pixels to portrait pixels.
        points: float64 `[68, 2]`, the landmarks in photograph pixels.
    """

    rgba: np.ndarray
    faces: int
    face_width: int
    matrix: np.ndarray
    points: np.ndarray

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of the landmarks, whole pixels of the photograph."""
        left, top, right, bottom = (int(edge) for edge in np.rint(edges_of(self.points)))
        return left, top, right, bottom


class PortraitMaker:
    """Makes portraits from photographs. Building one takes a second and calls are cheap, so use one per process.

    Threads can share one; it makes the portraits of one photograph at a time.

    Args:
        finder: finds faces and their landmarks.
        segmenter: separates the person from the background; RGB uint8 `[H, W, 3]` to uint8 `[H, W]`.
        min_face: minimum width of the landmarks, pixels; smaller faces are not worth translating.
    """

    def __init__(self, finder: Finder, segmenter: Segmenter, min_face: int = 64) -> None:
        self.finder, self.segmenter, self.min_face = finder, segmenter, min_face
        self._lock = threading.Lock()

    @classmethod
    def from_weights(
        cls,
        weights: Path | str,
        *,
        detector: str = "mediapipe",
        landmarks: str = "mediapipe",
        segmentation: str = "selfie",
        min_face: int = 64,
        check: bool = True,
        threads: int = 2,
    ) -> PortraitMaker:
        """Build a portrait maker from the files in a weights folder.

        Args:
            weights: folder that the `assets` stage filled.
            detector: `mediapipe`, `hog`, `mmod`, `sfd` or `blazeface`.
            landmarks: `mediapipe`, `dlib` or `face-alignment`.
            segmentation: `selfie`, `sinet` or `photo2cartoon`.
            min_face: as above.
            check: verify the files' hashes; turn off only if the caller has just done so.
            threads: CPU threads of the networks that can use several.

        Raises:
            UserError: a file is missing or its hash is wrong.
        """
        from photo2cartoon.assets.catalogue import asset_path, find_asset

        find = find_asset if check else asset_path
        detect, points, segmenter = (
            entry.build([find(name, weights) for name in entry.assets], threads)
            for entry in (DETECTORS[detector], LANDMARKS[landmarks], SEGMENTERS[segmentation])
        )
        return cls(Finder(detect, points), segmenter, min_face)

    @classmethod
    def from_params(cls, weights: Path | str, portrait: Choice, check: bool = True, threads: int = 2) -> PortraitMaker:
        """Build a portrait maker as the `portrait` section of params.yaml configures it."""
        return cls.from_weights(
            weights,
            detector=portrait.detector,
            landmarks=portrait.landmarks,
            segmentation=portrait.segmentation,
            min_face=portrait.min_face,
            check=check,
            threads=threads,
        )

    def __call__(self, rgb: np.ndarray, size: int | None = SIZE) -> Portrait:
        """Make the portrait of the largest face.

        Args:
            rgb: uint8 `[H, W, 3]`; without a face it is searched again sideways and upside down.
            size: side of the portrait; None is the size that the head has in the photograph.

        Raises:
            PictureError: there is no face, or only one that is too small.
        """
        faces = self._search(rgb)
        return self.cut(rgb, _largest(faces).points, len(faces), size=size)

    def of(self, photo: Photograph, size: int | None = SIZE) -> Portrait:
        """Make the portrait of the largest face of an encoded photograph.

        A JPEG is searched at a fraction of its size. Only if no face is found there, or one with too few pixels, is all of
        it decoded.

        Args:
            photo: the photograph.
            size: as above.

        Raises:
            PictureError: the image cannot be decoded, there is no face, or only one that is too small.
        """
        with self._lock:
            found, rgb, scale = self._search_coarsely(photo, SEARCH_SIDE)
            rgb, points, scale = _with_enough_pixels(photo, rgb, _largest(found).points, scale, size)
            return self.cut(rgb, points, len(found), scale, size)

    def all_of(self, photo: Photograph, size: int | None = SIZE) -> list[Portrait]:
        """Make the portraits of all faces of an encoded photograph, the largest first, `MOST_FACES` at most.

        Faces that are too small are left out. Where two portraits overlap, each keeps what is nearer to its own face.

        Args:
            photo: the photograph.
            size: as above.

        Raises:
            PictureError: the image cannot be decoded, or there is no face that is large enough.
        """
        with self._lock:
            found, rgb, scale = self._search_coarsely(photo, SEARCH_SIDE_ALL, everybody=True)
            large = [face.points for face in found if _width(face.points, scale) >= self.min_face]
            large = large[:MOST_FACES] or [_largest(found).points]
            portraits = []
            for points in large:
                others = [scaled(other, 1 / scale) for other in large if other is not points]
                given = _with_enough_pixels(photo, rgb, points, scale, size)
                portraits.append(self.cut(*given[:2], len(found), given[2], size, others))
            return portraits

    def points_of(self, photo: Photograph) -> list[np.ndarray]:
        """Return the landmarks of all faces, also of those that are too small, the largest first.

        Returns:
            float64 `[68, 2]` each, x and y in pixels of the photograph.

        Raises:
            PictureError: the image cannot be decoded.
        """
        with self._lock:
            found, _, scale = self._search_coarsely(photo, SEARCH_SIDE_ALL, everybody=True)
            return [scaled(face.points, 1 / scale) for face in found]

    def _search_coarsely(
        self, photo: Photograph, side: int, everybody: bool = False
    ) -> tuple[list[Face], np.ndarray, float]:
        """Return the faces, the image they were found in, and its scale."""
        rgb, scale = photo.coarse(side)
        found = self._search(rgb, everybody)
        if not found and scale < 1:
            rgb, scale = photo.rgb, 1.0
            found = self._search(rgb, everybody)
        return found, rgb, scale

    def _search(self, rgb: np.ndarray, everybody: bool = False) -> list[Face]:
        return self.finder(rgb, everybody) or self.finder.turned(rgb, everybody)

    def cut(
        self,
        rgb: np.ndarray,
        points: np.ndarray,
        faces: int = 1,
        scale: float = 1.0,
        size: int | None = SIZE,
        others: Sequence[np.ndarray] = (),
    ) -> Portrait:
        """Make the portrait of a face whose landmarks are known.

        Args:
            rgb: uint8 `[H, W, 3]`, upright.
            points: `[68, 2]`, x and y in pixels of `rgb`.
            faces: number of faces found, recorded in the portrait.
            scale: of `rgb`, relative to the photograph.
            size: side of the portrait; None is the size that the head has in the photograph.
            others: landmarks of other faces, in pixels of the photograph, whose part of the portrait is cut away.

        Raises:
            PictureError: the face is too small.
        """
        width = _width(points, scale)
        if width < self.min_face:
            raise PictureError("too small", f"the face is {width} pixels wide, at least {self.min_face} are needed")
        size = size or own_size(points, scale)
        crop, matrix = level_and_crop(rgb, points)
        matrix = resized(matrix, len(crop), size)  # from pixels of `rgb` to those of the portrait
        side = max(size, self.segmenter.side)
        if len(crop) > side:  # neither the portrait nor the mask gains anything from more pixels
            crop = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
        rgba = np.dstack([crop, self.segmenter(crop)])
        if len(crop) != size:
            enlarge = cv2.INTER_LINEAR if size == SIZE else cv2.INTER_CUBIC
            rgba = cv2.resize(rgba, (size, size), interpolation=cv2.INTER_AREA if len(crop) > size else enlarge)
        rgba[..., 3] = np.minimum(rgba[..., 3], _inside(rgb.shape[:2], matrix, size))
        if size > SIZE:
            rgba[..., 3] = follow_edges(rgba[..., 3], rgba[..., :3])
            rgba[..., :3] = own_colours(rgba[..., :3], rgba[..., 3])
        matrix[:, 2] += matrix[:, :2].sum(axis=1) * (scale - 1) / 2
        matrix[:, :2] *= scale
        own = scaled(points, 1 / scale)
        if len(others):
            part = own_part(_moved(own, matrix), [_moved(other, matrix) for other in others], size)
            rgba[..., 3] = np.rint(rgba[..., 3] * part)
        return Portrait(rgba, faces, width, matrix, own)


def own_size(points: np.ndarray, scale: float = 1.0) -> int:
    """Return the side of a portrait that has as many pixels as the head has in the photograph, within limits."""
    return int(np.clip(np.ceil(crop_side(points) / scale / STEP) * STEP, SIZE, LARGEST))


def _with_enough_pixels(
    photo: Photograph, rgb: np.ndarray, points: np.ndarray, scale: float, size: int | None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return image, points and scale at the photograph's full size if the face has too few pixels in `rgb`."""
    needed = ENOUGH * size if size else own_size(points, scale)
    if scale < 1 and crop_side(points) < needed:
        return photo.rgb, scaled(points, 1 / scale), 1.0
    return rgb, points, scale


def _inside(shape: tuple[int, ...], matrix: np.ndarray, size: int) -> np.ndarray | np.uint8:
    """Return 255 where a portrait shows the picture, 0 beyond the picture's edges: uint8 `[size, size]`, or the number."""
    height, width = shape
    corners = np.array([[0, 0, 1], [size - 1, 0, 1], [0, size - 1, 1], [size - 1, size - 1, 1]])
    x, y = cv2.invertAffineTransform(matrix) @ corners.T
    if x.min() >= 0 and y.min() >= 0 and x.max() <= width - 1 and y.max() <= height - 1:
        return np.uint8(255)
    return cv2.warpAffine(np.full((height, width), 255, np.uint8), matrix, (size, size))


def _width(points: np.ndarray, scale: float) -> int:
    """Return the width of the landmarks in pixels of the photograph."""
    return int(np.ptp(points[:, 0]) / scale)


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


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
    return [name for entry in chosen for name in entry.assets]
