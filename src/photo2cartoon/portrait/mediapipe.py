"""MediaPipe's face models (Apache-2.0) in LiteRT: the full-range detector, and the mesh, which gives the 68 points.

BlazeFace (Bazarevsky et al., 2019, arXiv:1907.05047) and Face Mesh (Kartynnik et al., 2019, arXiv:1907.06724).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from photo2cartoon.portrait.align import eye_angle
from photo2cartoon.portrait.boxes import SAME_FACE, Box, overlap, rotated, turned_back, without_duplicates
from photo2cartoon.portrait.litert import Network
from photo2cartoon.portrait.shrink import shrunk

# The detector divides its image into a grid; it answers for each cell with a score, a box and six points.
CELLS, SCORE = 48, 0.5
# Upright faces score more than this, with few exceptions; others may be sideways or upside down.
UPRIGHT = 0.7
# A face that fills the picture is found in the middle of a padded one. Share of the longer side, on each side.
PADDING = 0.25
# Faces too small for the whole picture are found in overlapping quarters. Share of each side.
TILE = 0.6
# Everybody is also looked for in tiles of this many pixels, at most so many along a side; they overlap by this share.
FINE_TILE, MOST_TILES, FINE_OVERLAP = 512, 5, 0.2
# The mesh's logit of upright faces is above this (at least 15 in 40 photographs), and was below it (9 at most) when the
# mouth was taken for eyes: such a face is seen again from the other sides.
CERTAIN = 12.0
# It is above this for a face: at least 12 for faces of 48 px and more and for dark ones. A rocket, a cup of coffee, and
# other things that the detector takes for faces, get 5 at most; so does a face in profile.
FACE = 8.0
# Below this, a second look is pointless.
LOST = -6.0
# The mesh looks at a square around the face, larger than its box, turned so that the eyes are level.
REGION = 1.5
RIGHT_EYE, LEFT_EYE = 33, 263  # outer corners in the mesh
# The outline of the 68 points, jaw and brows, is not quite where dlib's model puts it, which photo2cartoon's crops were
# framed by. In units of the outline's levelled box: its size, and where its centre is. Medians over 354 photographs.
STRETCH, SHIFT, OUTLINE = (1.005, 1.0134), (0.0028, 0.0186), 27
# The mesh's vertex for each of the 68 points of iBUG 300-W.
VERTICES = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),  # jaw
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),  # brows
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),  # nose
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87),  # mouth
)


class FullRange:
    """MediaPipe's full-range detector, on 192 px.

    Args:
        weights: `face_detection_full_range_sparse.tflite`.
        threads: CPU threads.
    """

    finds_turned = True

    def __init__(self, weights: Path, threads: int = 1) -> None:
        self._network = Network(weights, threads)
        middle = (np.arange(CELLS, dtype=np.float32) + 0.5) / CELLS
        self._cells = np.stack(np.meshgrid(middle, middle), axis=-1).reshape(-1, 1, 2)

    def __call__(self, rgb: np.ndarray, everybody: bool = False) -> Iterator[list[Box]]:
        """Yield the boxes of the whole picture, of the padded picture, of its quarters, and of the picture turned.

        Args:
            rgb: uint8 `[H, W, 3]`. A face may be turned by any angle.
            everybody: yield the boxes of whole, quarters and, of a large picture, smaller tiles together, for people in
                the background.
        """
        height, width = rgb.shape[:2]
        boxes = self._turned(rgb)
        if everybody:
            boxes += [] if boxes else self._padded(rgb)
            yield without_duplicates([*boxes, *self._in_tiles(rgb, fine=True)])
        else:
            yield boxes
            yield self._padded(rgb)
            yield without_duplicates(self._in_tiles(rgb))
        for quarters in (1, 3, 2):
            turned = rotated(rgb, quarters)
            # Small faces are found upside down too, if not the right way round; so one turn is enough for them.
            boxes = without_duplicates([*self._padded(turned), *(self._in_tiles(turned) if quarters == 1 else [])])
            yield [turned_back(box, quarters, width, height) for box in boxes]

    def _padded(self, rgb: np.ndarray) -> list[Box]:
        """Find a face that fills the picture."""
        height, width = rgb.shape[:2]
        pad = round(PADDING * max(height, width))
        return self._look(rgb, -pad, -pad, width + 2 * pad, height + 2 * pad)

    def _in_tiles(self, rgb: np.ndarray, fine: bool = False) -> list[Box]:
        """Find small faces."""
        height, width = rgb.shape[:2]
        tiles = list(_tiles(width, height, 2, TILE))
        count = min(math.ceil(max(width, height) / FINE_TILE), MOST_TILES)
        if fine and count > 2:
            tiles += _tiles(width, height, count, (1 + FINE_OVERLAP) / count)
        return [box for tile in tiles for box in self._look(rgb, *tile) if not _is_cut(box, *tile, width, height)]

    def _turned(self, rgb: np.ndarray) -> list[Box]:
        """Find the faces in the whole picture; where they may not be upright, the way it has to be turned as well.

        The detector also fires on faces upside down, then takes the mouth for eyes, and is less sure of them.
        """
        height, width = rgb.shape[:2]
        best = self._look(rgb, 0, 0, width, height)
        if max((box.score for box in best), default=0) >= UPRIGHT:
            return best
        for quarters in (1, 2, 3):
            turned = rotated(rgb, quarters)
            boxes = self._look(turned, 0, 0, *turned.shape[1::-1])
            if max((box.score for box in boxes), default=0) > max((box.score for box in best), default=0):
                best = [turned_back(box, quarters, width, height) for box in boxes]
        return best

    def _look(self, rgb: np.ndarray, left: int, top: int, width: int, height: int) -> list[Box]:
        """Find the faces in a part of the picture, which may extend beyond it."""
        side = self._network.side
        scale = side / max(width, height)
        part = rgb[max(top, 0) : top + height, max(left, 0) : left + width]
        size = [max(1, round(edge * scale)) for edge in part.shape[1::-1]]
        if (step := int(1 / scale)) > 1:  # by a whole number first, which is much faster
            part = shrunk(part, 1 / step)
        small = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)
        image = np.zeros((side, side, 3), np.float32)
        x, y = round(max(-left, 0) * scale), round(max(-top, 0) * scale)
        image[y : y + size[1], x : x + size[0]] = small[: side - y, : side - x].astype(np.float32) / 127.5 - 1
        numbers, scores = self._network(image)
        scores = 1 / (1 + np.exp(-np.clip(scores[:, 0], -80, 80)))  # logits
        sure = scores >= SCORE
        if not sure.any():
            return []
        places = numbers[sure].reshape(-1, 8, 2) / side
        places[:, [0, *range(2, 8)]] += self._cells[sure]  # sizes are not relative to the cell
        places *= side / scale
        places[:, [0, *range(2, 8)]] += (left, top)
        return _merged(places, scores[sure])


class Mesh:
    """MediaPipe's mesh of 468 points, on 192 px; it also rejects what is no face.

    Args:
        weights: `face_landmark.tflite`.
        threads: CPU threads.
    """

    def __init__(self, weights: Path, threads: int = 1) -> None:
        self._network = Network(weights, threads)

    def __call__(self, rgb: np.ndarray, boxes: Sequence[Box]) -> list[np.ndarray | None]:
        """Return the 68 points of each box, float64 `[68, 2]`; None where the mesh sees no face."""
        found: list[np.ndarray | None] = []
        for box in boxes:
            left, top, right, bottom = box.edges
            centre = np.array([(left + right) / 2, (top + bottom) / 2])
            place = centre, REGION * max(right - left, bottom - top), box.angle
            mesh, sure = self._see_twice(rgb, *place)
            if sure < CERTAIN:
                turns = [self._see_twice(rgb, *place[:2], box.angle + quarters * np.pi / 2) for quarters in (1, 2, 3)]
                mesh, sure = max((mesh, sure), *turns, key=lambda seen: seen[1])
            found.append(_as_68(mesh) if sure >= FACE else None)
        return found

    def _see_twice(self, rgb: np.ndarray, *place: Any) -> tuple[np.ndarray, float]:
        """Look where the first look put the face, which makes tilt and the detector's framing harmless."""
        mesh, sure = self._see(rgb, *place)
        return self._see(rgb, *_region(mesh)) if sure >= LOST else (mesh, sure)

    def _see(self, rgb: np.ndarray, centre: np.ndarray, size: float, angle: float) -> tuple[np.ndarray, float]:
        """Run the network on a turned square of the picture.

        Args:
            rgb: uint8 `[H, W, 3]`.
            centre, size, angle: of the square, in pixels and radians.

        Returns:
            The mesh `[468, 2]` in pixels of the picture, and the logit of there being a face.
        """
        side = self._network.side
        turn = _turn(angle)
        matrix = np.hstack([turn * (side / size), np.full((2, 1), side / 2 - 0.5)])
        matrix[:, 2] -= matrix[:, :2] @ centre
        region = _warped(rgb, matrix, side, size)
        points, score = self._network(region.astype(np.float32) / 255)
        flat = points.reshape(-1, 3)[:, :2].astype(np.float64) - 0.5
        back = cv2.invertAffineTransform(matrix)
        return flat @ back[:, :2].T + back[:, 2], float(score.item())


def _tiles(width: int, height: int, count: int, share: float) -> Iterator[tuple[int, int, int, int]]:
    """Yield `count` by `count` tiles that cover a picture: left, top, width and height, each a share of the picture's."""
    wide, high = round(width * share), round(height * share)
    for left in np.linspace(0, width - wide, count):
        for top in np.linspace(0, height - high, count):
            yield round(left), round(top), wide, high


def _is_cut(box: Box, left: int, top: int, wide: int, high: int, width: int, height: int) -> bool:
    """Whether a box touches an edge of its quarter that is no edge of the picture: the next quarter has all of it."""
    inner = (left > 0, top > 0, left + wide < width, top + high < height)
    beyond = (box.left < left, box.top < top, box.right > left + wide, box.bottom > top + high)
    return any(a and b for a, b in zip(inner, beyond, strict=True))


def _merged(places: np.ndarray, scores: np.ndarray) -> list[Box]:
    """Average the answers about the same face, weighted by their scores, as BlazeFace does instead of suppression.

    Args:
        places: `[N, 8, 2]`: centre, size and six points of each answer, in pixels; the first points are the eyes.
        scores: `[N]`.
    """
    boxes = []
    order = list(np.argsort(-scores))
    half = places[:, 1] / 2
    edges = np.hstack([places[:, 0] - half, places[:, 0] + half])
    while order:
        same = [index for index in order if overlap(edges[order[0]], edges[index]) > SAME_FACE]
        (x, y), (width, height), right, left, *_ = np.average(places[same], axis=0, weights=scores[same])
        angle = float(np.arctan2(left[1] - right[1], left[0] - right[0]))
        score = float(scores[order[0]])
        boxes.append(Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2, score, angle=angle))
        order = [index for index in order if index not in same]
    return boxes


def _region(mesh: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return centre, side and angle of the square in which the mesh is to be seen again."""
    across, down = mesh[LEFT_EYE] - mesh[RIGHT_EYE]
    angle = float(np.arctan2(down, across))
    turn = _turn(angle)
    levelled = mesh @ turn.T
    low, high = levelled.min(axis=0), levelled.max(axis=0)
    return (low + high) / 2 @ turn, REGION * float((high - low).max()), angle


def _warped(rgb: np.ndarray, matrix: np.ndarray, side: int, size: float) -> np.ndarray:
    """Take a square out of a picture; one that is much larger than `side` is shrunk by area first."""
    step = int(size / side)
    if step < 2:
        return cv2.warpAffine(rgb, matrix, (side, side), flags=cv2.INTER_LINEAR)
    corners = cv2.invertAffineTransform(matrix) @ np.array([[0, 0, 1], [side, 0, 1], [0, side, 1], [side, side, 1]]).T
    left, top = np.clip(np.floor(corners.min(axis=1)).astype(int) - step, 0, None)
    right, bottom = np.ceil(corners.max(axis=1)).astype(int) + step
    part = rgb[top:bottom, left:right]
    if not part.size:
        return np.zeros((side, side, 3), np.uint8)
    small = shrunk(part, 1 / step)
    scale = np.array([part.shape[1] / small.shape[1], part.shape[0] / small.shape[0]])
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ ((left, top) + (scale - 1) / 2)
    moved[:, :2] *= scale
    return cv2.warpAffine(small, moved, (side, side), flags=cv2.INTER_LINEAR)


def _as_68(mesh: np.ndarray) -> np.ndarray:
    """Return the 68 points of a mesh, with the outline where dlib's model puts it."""
    points = mesh[list(VERTICES)]
    turn = _turn(eye_angle(points))
    levelled = points[:OUTLINE] @ turn.T
    low, high = levelled.min(axis=0), levelled.max(axis=0)
    centre = (low + high) / 2
    points[:OUTLINE] = ((levelled - centre) * STRETCH + centre + np.multiply(SHIFT, high - low)) @ turn
    return points


def _turn(angle: float) -> np.ndarray:
    """Return the rotation `[2, 2]` that levels a line of this angle."""
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
