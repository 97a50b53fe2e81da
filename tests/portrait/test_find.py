"""A finder combines any detector with any landmark model; the largest face comes first."""

import numpy as np
import pytest

from photo2cartoon.portrait import PictureError, PortraitMaker, decode
from photo2cartoon.portrait.background import on_white
from photo2cartoon.portrait.boxes import Box
from photo2cartoon.portrait.find import Finder
from tests.conftest import noise

BOXES = [Box(0, 0, 20, 20, 0.9), Box(100, 10, 180, 90, 0.6), Box(30, 30, 60, 70, 0.7)]


class Boxes:
    """Detector that finds the same boxes in every picture, one list a search."""

    finds_turned = False

    def __init__(self, *searches):
        self.searches = searches

    def __call__(self, rgb, everybody=False):
        return self.searches


def corners(_, boxes):
    """Landmark model that puts the points on the boxes' corners."""
    return [np.array([[box.left, box.top], [box.right, box.bottom]] * 34) for box in boxes]


def test_the_largest_first_each_with_its_own_score():
    faces = Finder(Boxes([], BOXES), corners)(np.zeros((200, 200, 3), np.uint8))
    assert [face.score for face in faces] == [0.6, 0.7, 0.9]
    assert [face.area for face in faces] == [6400, 1200, 400]


def test_no_box_no_face():
    assert Finder(Boxes([]), corners)(np.zeros((200, 200, 3), np.uint8)) == []


def test_a_part_of_a_face_is_no_other_face():
    """Boxes on the same face, or inside one, lead to one face; neighbours that overlap a little stay two."""
    inside, beside = Box(110, 20, 140, 60, 0.9), Box(165, 10, 245, 90, 0.6)
    faces = Finder(Boxes([BOXES[1], inside, beside]), corners)(np.zeros((300, 300, 3), np.uint8))
    assert sorted(face.points[0, 0] for face in faces) == [100, 165]


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("models", [("mediapipe", "mediapipe"), ("hog", "dlib")])
def test_a_photograph_on_its_side_or_head_gives_the_same_portrait(weights, hopper, quarters, models):
    maker = PortraitMaker.from_weights(weights, detector=models[0], landmarks=models[1])
    upright = decode(hopper)
    turned = np.ascontiguousarray(np.rot90(upright, quarters))
    if models[0] == "hog":
        assert maker.finder(turned) == []  # HOG finds no face without rotating it
    expected, got = on_white(maker(upright).rgba), on_white(maker(turned).rgba)
    # The points, and with them the mask, differ by a fraction of a pixel.
    assert np.abs(expected.astype(int) - got).mean() < 4


def test_noise_has_no_face_whichever_way_it_is_held(weights):
    with pytest.raises(PictureError, match="no face"):
        PortraitMaker.from_weights(weights)(noise(300, 400, 3))
