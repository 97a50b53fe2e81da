"""MediaPipe's models find faces of every size and angle, the right way up, and nothing that is no face."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage

from photo2cartoon.portrait import PortraitMaker, decode
from photo2cartoon.portrait.align import level_and_crop, resized
from photo2cartoon.portrait.boxes import Box, overlap, turned_back
from photo2cartoon.portrait.find import Finder

NO_FACES = (
    "chelsea.png",
    "coffee.png",
    "color.png",
    "hubble_deep_field.jpg",
    "logo.png",
    "motorcycle_left.png",
    "rocket.jpg",
)


@pytest.fixture(scope="module")
def finder(weights) -> Finder:
    return PortraitMaker.from_weights(weights, detector="mediapipe", landmarks="mediapipe").finder


@pytest.fixture(scope="module")
def people(astronaut, hopper) -> list[np.ndarray]:
    return [decode(astronaut), decode(hopper)]


def eyes(points: np.ndarray) -> np.ndarray:
    return points[[36, 45]]


def test_eyes_are_where_dlib_sees_them_and_crops_cover_the_same(weights, finder, people):
    dlib = PortraitMaker.from_weights(weights, detector="hog", landmarks="dlib").finder
    for rgb in people:
        ours, theirs = finder(rgb)[0].points, dlib(rgb)[0].points
        apart = np.linalg.norm(eyes(ours) - eyes(theirs), axis=1)
        assert apart.max() < 0.1 * np.linalg.norm(np.subtract(*eyes(theirs)))
        corners = []
        for points in (ours, theirs):
            crop, matrix = level_and_crop(rgb, points)
            back = cv2.invertAffineTransform(resized(matrix, len(crop), 1))
            corners.append((*(back @ [0, 0, 1]), *(back @ [1, 1, 1])))
        assert overlap(*corners) > 0.9


@pytest.mark.parametrize("degrees", [30, 60, 90, 135, 180, 225, 270, 315])
def test_a_turned_face_has_its_eyes_in_the_right_places(finder, people, degrees):
    for rgb in people:
        height, width = rgb.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 0.8)
        turned = cv2.warpAffine(rgb, matrix, (width, height), borderValue=(90, 90, 90))
        expected = eyes(finder(rgb)[0].points) @ matrix[:, :2].T + matrix[:, 2]
        apart = np.linalg.norm(eyes(finder(turned)[0].points) - expected, axis=1)
        assert apart.max() < 0.06 * np.linalg.norm(np.subtract(*expected))


def test_what_is_no_face_is_not_found(finder):
    folder = Path(skimage.__file__).parent / "data"
    for name in NO_FACES:
        picture = decode(folder / name)
        assert finder(picture, everybody=True) == [] == finder.turned(picture), name


@pytest.mark.parametrize("width", [96, 64, 48])
def test_a_small_face_in_a_large_picture(finder, people, width):
    for rgb in people:
        scale = width / np.ptp(finder(rgb)[0].points[:, 0])
        small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        picture = np.full((1024, 1024, 3), 120, np.uint8)
        picture[400 : 400 + len(small), 300 : 300 + small.shape[1]] = small
        (face,) = finder(picture)
        expected = (finder(rgb)[0].points + 0.5) * scale - 0.5 + (300, 400)
        assert np.linalg.norm(face.points - expected, axis=1).mean() < 0.15 * width


def test_a_face_that_fills_the_picture(finder, people):
    for rgb in people:
        low, high = finder(rgb)[0].points.min(axis=0).astype(int), finder(rgb)[0].points.max(axis=0).astype(int)
        close = rgb[max(low[1] - 10, 0) : high[1] + 3, max(low[0] - 3, 0) : high[0] + 3]
        assert len(finder(np.ascontiguousarray(close))) == 1


def test_everybody_in_a_group_is_found_once(finder, people):
    heads = []
    for rgb in people:
        low, high = finder(rgb)[0].points.min(axis=0), finder(rgb)[0].points.max(axis=0)
        side = int(1.8 * (high - low).max())
        left, top = ((low + high) / 2 - side / 2).astype(int)
        heads.append(cv2.resize(rgb[max(top, 0) : top + side, max(left, 0) : left + side], (150, 150)))
    for count in (2, 4, 8):
        group = np.full((640, 1200, 3), 200, np.uint8)
        for number in range(count):
            y, x = 40 + 300 * (number // 4), 40 + 290 * (number % 4)
            group[y : y + 150, x : x + 150] = heads[number % 2]
        assert len(finder(group, everybody=True)) == count


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_boxes_come_back_from_a_turned_picture(quarters):
    picture = np.zeros((60, 100), np.uint8)
    picture[20:31, 70:91] = 255
    ys, xs = np.nonzero(np.rot90(picture, quarters))
    back = turned_back(Box(xs.min(), ys.min(), xs.max(), ys.max(), 1.0), quarters, 100, 60)
    assert back.edges == (70, 20, 90, 30) and abs(back.angle) == pytest.approx(
        {1: 90, 2: 180, 3: 90}[quarters] / 57.2958, 1e-3
    )
