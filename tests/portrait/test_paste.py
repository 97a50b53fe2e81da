"""The cartoon's head is pasted where the portrait was taken, whatever the photograph's rotation."""

import dataclasses

import cv2
import numpy as np
import pytest

from photo2cartoon.params import PortraitParams as Params
from photo2cartoon.portrait.background import on_white
from photo2cartoon.portrait.maker import PortraitMaker
from photo2cartoon.portrait.paste import paste


@pytest.fixture(scope="module")
def maker(weights):
    return PortraitMaker.from_params(weights, Params())


def turned(path, angle):
    rgb = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    height, width = rgb.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
    return cv2.warpAffine(rgb, matrix, (width, height), borderValue=(90, 90, 90))


@pytest.mark.parametrize("angle", [0, 17, -12])
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_pasting_the_portrait_itself_gives_the_photograph_back(maker, hopper, angle, scale):
    rgb = cv2.resize(turned(hopper, angle), None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    made = maker(rgb)
    share = paste(np.zeros_like(rgb), made, np.full((256, 256, 3), 255, np.uint8))[..., 0]
    head, around = share > 250, share == 0

    def gap(portrait):
        """Difference in the head, blurred because the portrait has fewer pixels; around it nothing may change."""
        back = paste(rgb, portrait, on_white(made.rgba))
        assert np.array_equal(back[around], rgb[around]) or portrait is not made
        soft = [cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 2 * scale) for picture in (back, rgb)]
        return np.abs(soft[0] - soft[1])[head].mean()

    assert gap(made) < 1.5
    for shift in ((0.5, 0), (0, 0.5)):  # shifted by half a pixel of the portrait
        moved = made.matrix.copy()
        moved[:, 2] += shift
        assert gap(dataclasses.replace(made, matrix=moved)) > 1.5 * gap(made)


def test_the_matrix_leads_from_the_photograph_to_the_portrait(maker, astronaut):
    """The eyes found in the photograph map to where they are found again in the portrait."""
    rgb = turned(astronaut, 20)
    points = maker.finder(rgb)[0].points
    made = maker.cut(rgb, points)
    again = maker.finder(on_white(made.rgba))[0].points
    expected = np.hstack([points, np.ones((68, 1))]) @ made.matrix.T
    assert np.abs(expected[36:48] - again[36:48]).mean() < 4
    assert abs(expected[36, 1] - expected[45, 1]) < 0.01  # level


def test_it_fades_out_at_the_edge_and_leaves_the_background(maker, astronaut):
    rgb = turned(astronaut, 0)
    made = maker(rgb)
    red = on_white(np.dstack([np.full((256, 256, 3), (255, 0, 0), np.uint8), made.rgba[..., 3]]))
    pasted = paste(rgb, made, red)
    back = cv2.invertAffineTransform(made.matrix)
    eye = np.rint(back @ (128, 128, 1)).astype(int)
    assert (pasted[eye[1], eye[0]] == (255, 0, 0)).all()
    corner = np.rint(back @ (3, 3, 1)).astype(int)
    assert (pasted[corner[1], corner[0]] == rgb[corner[1], corner[0]]).all()
    # No step is visible where the square ends and the neck continues.
    whole = dataclasses.replace(made, rgba=np.full_like(made.rgba, 255))
    fade = paste(np.zeros_like(rgb), whole, np.full((256, 256, 3), 255, np.uint8))[..., 0].astype(int)
    assert fade.max() == 255 and np.abs(np.diff(fade, axis=0)).max() < 50 and np.abs(np.diff(fade, axis=1)).max() < 50


def test_a_portrait_beyond_the_picture_changes_nothing(maker, astronaut):
    rgb = turned(astronaut, 0)
    made = maker(rgb)
    matrix = made.matrix.copy()
    matrix[0, 2] -= 5000
    assert (paste(rgb, dataclasses.replace(made, matrix=matrix), on_white(made.rgba)) == rgb).all()


@pytest.mark.parametrize("size", [256, 512])
def test_a_small_head_is_not_ragged(maker, astronaut, size):
    """Lines of one pixel of a large cartoon become an even grey, however small the head is."""
    rgb = cv2.resize(turned(astronaut, 0), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    made = PortraitMaker(maker.finder, maker.segmenter, min_face=16).cut(rgb, maker.finder(rgb)[0].points, size=size)
    whole = dataclasses.replace(made, rgba=np.full_like(made.rgba, 255))
    checked = np.indices((size, size)).sum(axis=0) % 2 * 255
    grey = paste(rgb, whole, np.repeat(checked[..., None], 3, axis=2).astype(np.uint8))
    x, y = np.rint(cv2.invertAffineTransform(made.matrix) @ (size / 2, size / 2, 1)).astype(int)
    assert abs(grey[y - 12 : y + 12, x - 12 : x + 12].mean() - 127.5) < 4
    assert grey[y - 12 : y + 12, x - 12 : x + 12].std() < 5
