"""The crop equals photo2cartoon's: level eyes, an enlarged square box, white outside the picture."""

import cv2
import numpy as np
import pytest

from photo2cartoon.portrait.align import eye_angle, level_and_crop, square_box
from tests.conftest import noise


def plain(rgb, points):
    """Reference crop, step by step: rotate the whole picture, then cut out the box."""
    height, width = rgb.shape[:2]
    (x1, y1), (x2, y2) = points[36], points[45]
    angle = np.arctan((y1 - y2) / (x1 - x2))
    c, s = np.cos(angle), np.sin(angle)
    new = int(width * abs(c) + height * abs(s)), int(width * abs(s) + height * abs(c))
    tx, ty = new[0] // 2 - width // 2, new[1] // 2 - height // 2
    matrix = np.array(
        [[c, s, (1 - c) * width / 2 - s * height / 2 + tx], [-s, c, s * width / 2 + (1 - c) * height / 2 + ty]]
    )
    turned = cv2.warpAffine(rgb, matrix, new, borderValue=(255, 255, 255))
    x, y = (points @ matrix[:, :2].T + matrix[:, 2]).T
    tall, wide = y.max() - y.min(), x.max() - x.min()
    top, bottom = int(y.min() - 0.8 * tall), int(y.max() + 0.3 * tall)
    left, right = int(x.min() - 0.3 * wide), int(x.max() + 0.3 * wide)
    if bottom - top > right - left:
        left = left - ((bottom - top) - (right - left)) // 2
        right = left + bottom - top
    else:
        top = top - ((right - left) - (bottom - top)) // 2
        bottom = top + right - left
    padded = cv2.copyMakeBorder(turned, 999, 999, 999, 999, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    return padded[999 + top : 999 + bottom + 1, 999 + left : 999 + right + 1]


def face(angle=0.0, centre=(150.0, 150.0), size=40.0):
    """Return 68 points whose outer eye corners form an angle (radians); the others fill a box around them."""
    points = np.random.default_rng(0).uniform(-size, size, (68, 2))
    points[36], points[45] = (-size * 0.6, -5), (size * 0.6, -5)
    c, s = np.cos(angle), np.sin(angle)
    return points @ np.array([[c, s], [-s, c]]) + centre


@pytest.mark.parametrize("angle", [-0.7, -0.2, 0, 0.05, 0.4, 1.2])
@pytest.mark.parametrize("centre", [(150.0, 150.0), (40.0, 60.0), (290.0, 200.0)])
def test_the_crop_is_the_definition_to_the_pixel(angle, centre):
    rgb = noise(260, 320, 3)
    points = face(angle, centre)
    expected, got = plain(rgb, points), level_and_crop(rgb, points)[0]
    assert got.shape == expected.shape
    # OpenCV rounds sampling positions to 1/32 of a pixel; moving the origin can change the rounding, visible in noise.
    assert (np.abs(got.astype(int) - expected) > 8).mean() < 0.01


@pytest.mark.parametrize("degrees", [90, -90, 180, 135])
def test_eyes_above_one_another_and_upside_down_come_out_upright(degrees):
    points = face(np.radians(degrees))
    assert eye_angle(points) == pytest.approx(np.radians(degrees))
    rgb = cv2.GaussianBlur(noise(300, 300, 3), (0, 0), 6)
    upright = level_and_crop(rgb, face(0))[0]
    turn = cv2.getRotationMatrix2D((150, 150), -degrees, 1)
    turned = level_and_crop(cv2.warpAffine(rgb, turn, (300, 300), borderValue=(255, 255, 255)), points)[0]
    side = min(len(upright), len(turned))
    assert abs(len(upright) - len(turned)) <= 2
    middle = slice(side // 4, -side // 4)
    gap = np.abs(upright[:side, :side].astype(int) - turned[:side, :side])[middle, middle]
    assert gap.mean() < 6


def test_the_box_is_square_and_grown():
    points = face(size=40)
    (x0, y0), (x1, y1) = points.min(0), points.max(0)
    left, top, right, bottom = square_box(points)
    assert right - left == bottom - top
    assert top == int(y0 - 0.8 * (y1 - y0))
    assert bottom == int(y1 + 0.3 * (y1 - y0))
    assert abs((left + right) / 2 - (x0 + x1) / 2) <= 2


def test_a_face_outside_the_picture_is_white():
    portrait = level_and_crop(noise(100, 100, 3), face(centre=(5000.0, 5000.0)))[0]
    assert (portrait == 255).all()
