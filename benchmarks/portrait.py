"""Measures portrait makers side by side: time, and the share of faces found by size, tilt, pose, light, skin and number.

    python -m benchmarks.portrait --photos DIR --weights weights

Photographs in which no maker finds a face take no part; their names are printed. Calls take turns, so a noisy machine
slows all of them alike. A face counts as found if its centre is within a third of its width of where the undistorted
photograph has it.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from photo2cartoon.errors import UserError, exit_on_user_error
from photo2cartoon.portrait import Photograph, PictureError, PortraitMaker, decode
from photo2cartoon.portrait.decode import SUFFIXES
from photo2cartoon.progress import bar

MAKERS = {"mediapipe": ("mediapipe", "mediapipe"), "hog": ("hog", "dlib"), "mmod": ("mmod", "dlib")}
CANVAS, GREY = 1024, (120, 120, 120)
WIDTHS, TILTS, LIGHT = (96, 64, 48, 32, 24), (20, 45, 90, 135, 180), (0.25, 0.12, 0.06)
GROUPS = (2, 4, 8)
# Individual typology angle of the cheeks, degrees: dark below the first, light above the second.
SKIN = (10, 41)
TURNS = (15, 25, 40)  # least angles of three classes of turned heads, degrees
CHEEKS = ((31, 48), (35, 54))  # between each pair of points

Photo = tuple[np.ndarray, np.ndarray]  # RGB, and the 68 points of its largest face
Case = tuple[str, np.ndarray, list[np.ndarray]]  # name, picture, centre and width of each face [3]


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs, one face each")
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder that `p2c assets` filled")
    parser.add_argument("--makers", default="mediapipe,hog", help=f"some of {', '.join(MAKERS)}; the first is the base")
    parser.add_argument("--limit", type=int, default=40, help="photographs at most")
    parser.add_argument(
        "--kind", default="", help="search only pictures of this kind, without times; e.g. 'head turned', skin"
    )
    options = parser.parse_args()
    cv2.setNumThreads(2)
    makers = {}
    for name in options.makers.split(","):
        if name not in MAKERS:
            raise UserError(f"--makers: '{name}' is none of {', '.join(MAKERS)}")
        detector, landmarks = MAKERS[name]
        makers[name] = PortraitMaker.from_weights(options.weights, landmarks=landmarks, min_face=16, detector=detector)
    found_paths = (path for path in sorted(options.photos.rglob("*")) if path.suffix.lower() in SUFFIXES)
    paths = list(found_paths)[: options.limit]
    if not paths:
        raise UserError(f"{options.photos}: holds no pictures")
    if not options.kind:
        times(makers, paths)
    found(makers, paths, options.kind)


def times(makers: dict[str, PortraitMaker], paths: Sequence[Path]) -> None:
    """Print medians of the time from encoded photograph to portrait: lone calls, with two threads.

    At 512 px, at 12 megapixels, and of photographs without a face, which every search is tried on.
    """
    print(f"{'ms, median of ' + str(len(paths)):28}" + "".join(f"{name:>12}" for name in makers) + "       ratio")
    for name, pixels in (("512 px", 512**2), ("12 megapixels", 12_000_000), ("512 px, no face", 512**2)):
        taken: dict[str, list[float]] = {maker: [] for maker in makers}
        pictures = [decode(path) for path in paths] if "no face" not in name else list(_without_a_face())
        for rgb in bar(pictures, desc=name, unit="picture", leave=False):
            scale = (pixels / rgb[..., 0].size) ** 0.5
            resized = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
            data = cv2.imencode(".jpg", resized[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
            for maker, make in makers.items():
                began = time.perf_counter()
                with contextlib.suppress(PictureError):
                    make.of(Photograph(data))
                taken[maker].append((time.perf_counter() - began) * 1000)
        medians = [statistics.median(values) for values in taken.values()]
        print(f"{name:28}" + "".join(f"{value:12.1f}" for value in medians) + f"{medians[-1] / medians[0]:12.2f}")


def _without_a_face() -> Iterator[np.ndarray]:
    from skimage import data

    for name in ("chelsea", "coffee", "rocket", "colorwheel"):
        yield np.ascontiguousarray(getattr(data, name)()[..., :3])


def found(makers: dict[str, PortraitMaker], paths: Sequence[Path], kind: str = "") -> None:
    """Print the share of faces that each maker finds, by kind of picture; only kinds whose name contains `kind`."""
    known = {
        path: _known(decode(path), makers.values()) for path in bar(paths, desc="known", unit="picture", leave=False)
    }
    photos = [photo for photo in known.values() if photo]
    print(
        f"{len(photos)} photographs; no maker finds a face in: {', '.join(p.name for p in known if not known[p]) or 'none'}"
    )
    counts: dict[str, dict[str, list[int]]] = {}
    chosen = [case for case in cases(photos) if kind in case[0]]
    for name, picture, faces in bar(chosen, desc="find", unit="picture", leave=False):
        for maker, make in makers.items():
            seen = make.finder(picture, everybody=len(faces) > 1) or make.finder.turned(picture)
            hits = sum(any(_is_at(each.points, face) for each in seen) for face in faces)
            tally = counts.setdefault(name, {}).setdefault(maker, [0, 0, 0])
            tally[0] += hits
            tally[1] += len(faces)
            tally[2] += max(0, len(seen) - hits)
    print(f"\n{'found (and false)':28}" + "".join(f"{name:>18}" for name in makers))
    for name, by_maker in counts.items():
        row = (f"{hits}/{of} ({false})" for hits, of, false in (by_maker[maker] for maker in makers))
        print(f"{name:28}" + "".join(f"{text:>18}" for text in row))


def cases(photos: Sequence[Photo]) -> Iterator[Case]:
    """Yield the pictures to search, made of photographs, with the true places of their faces."""
    draw = np.random.default_rng(0)
    for rgb, points in photos:
        yield "as they are", rgb, [_place(points)]
    for rgb, points in photos:
        yield f"{_skin(rgb, points)} skin", rgb, [_place(points)]
        if turn := [least for least in TURNS if _turn(points) >= least]:
            yield f"head turned, {turn[-1]} degrees and more", rgb, [_place(points)]
    for width in WIDTHS:
        for rgb, points in photos:
            yield f"{width} px in {CANVAS}", *_pasted([(rgb, points)], [width], draw)
    for tilt in TILTS:
        for rgb, points in photos:
            matrix = cv2.getRotationMatrix2D((rgb.shape[1] / 2, rgb.shape[0] / 2), tilt, 0.8)
            turned = cv2.warpAffine(rgb, matrix, rgb.shape[1::-1], borderValue=GREY)
            x, y, width = _place(points)
            yield f"turned by {tilt} degrees", turned, [np.array([*(matrix @ [x, y, 1]), 0.8 * width])]
    for rgb, points in photos:
        yield f"48 px, {_skin(rgb, points)} skin", *_pasted([(rgb, points)], [48], draw)
    for light in LIGHT:
        for rgb, points in photos:
            yield f"darkened to {light:.0%}", np.rint(rgb * light).astype(np.uint8), [_place(points)]
    for count in GROUPS:
        for first in range(0, len(photos) - count + 1, count):
            yield (
                f"groups of {count}, 64 to 130 px",
                *_pasted(photos[first : first + count], draw.integers(64, 130, count), draw),
            )


def _known(rgb: np.ndarray, makers: Sequence[PortraitMaker]) -> Photo | None:
    for make in makers:
        if faces := make.finder(rgb):
            return rgb, faces[0].points
    return None


def _skin(rgb: np.ndarray, points: np.ndarray) -> str:
    """Return dark, medium or light, by the individual typology angle (Chardon et al., 1991) of the cheeks."""
    values = []
    for pair in CHEEKS:
        x, y = np.rint(points[list(pair)].mean(axis=0)).astype(int)
        values.append(rgb[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4].reshape(-1, 3))
    colour = np.median(np.concatenate(values), axis=0).astype(np.float32) / 255
    lightness, _, yellow = cv2.cvtColor(colour[None, None], cv2.COLOR_RGB2LAB)[0, 0]
    angle = np.degrees(np.arctan2(lightness - 50, yellow))
    return "dark" if angle < SKIN[0] else "light" if angle > SKIN[1] else "medium"


def _turn(points: np.ndarray) -> float:
    """Estimate how far a head is turned to the side, in degrees.

    On most faces, the tip of the nose lies about as far in front of the outer eye corners as these are from their middle.
    Its offset from the middle, along the line through the corners and in units of half their distance, is then the tangent.
    """
    half = (points[45] - points[36]) / 2
    offset = np.dot(points[30] - (points[36] + points[45]) / 2, half) / np.dot(half, half)
    return float(np.degrees(np.arctan(abs(offset))))


def _place(points: np.ndarray) -> np.ndarray:
    low, high = points.min(axis=0), points.max(axis=0)
    return np.array([*(low + high) / 2, high[0] - low[0]])


def _is_at(points: np.ndarray, face: np.ndarray) -> bool:
    return bool(np.linalg.norm(_place(points)[:2] - face[:2]) < face[2] / 3)


def _pasted(
    photos: Sequence[Photo], widths: Sequence[int], draw: np.random.Generator
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Paste heads of the given widths on grey, in the cells of a grid, so that none covers another."""
    canvas = np.full((CANVAS, CANVAS, 3), GREY, np.uint8)
    across = int(np.ceil(np.sqrt(len(photos))))
    cell = CANVAS // across
    faces = []
    for number, ((rgb, points), width) in enumerate(zip(photos, widths, strict=True)):
        x, y, wide = _place(points)
        half = 1.1 * wide
        left, top = max(int(x - half), 0), max(int(y - half), 0)
        part = rgb[top : int(y + half), left : int(x + half)]
        scale = width / wide
        head = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        at_x, at_y = (
            (number % across) * cell + int(draw.integers(0, max(1, cell - head.shape[1]))),
            (number // across) * cell + int(draw.integers(0, max(1, cell - head.shape[0]))),
        )
        part = canvas[at_y : at_y + head.shape[0], at_x : at_x + head.shape[1]]
        part[:] = head[: part.shape[0], : part.shape[1]]
        faces.append(np.array([at_x + (x - left) * scale, at_y + (y - top) * scale, width]))
    return canvas, faces


if __name__ == "__main__":
    with exit_on_user_error("portrait"):
        main()
