"""A finder is any detector with any landmark model; the largest face comes first."""

import numpy as np

from photo2cartoon.portrait.detect import Box
from photo2cartoon.portrait.find import Finder

BOXES = [Box(0, 0, 20, 20, 0.9), Box(100, 10, 180, 90, 0.6), Box(30, 30, 60, 70, 0.7)]


def corners(_, boxes):
    """Points on the boxes' corners."""
    return [np.array([[box.left, box.top], [box.right, box.bottom]] * 34) for box in boxes]


def test_the_largest_first_each_with_its_own_score():
    faces = Finder(lambda _: BOXES, corners)(np.zeros((200, 200, 3), np.uint8))
    assert [face.score for face in faces] == [0.6, 0.7, 0.9]
    assert [face.area for face in faces] == [6400, 1200, 400]


def test_no_box_no_face():
    assert Finder(lambda _: [], corners)(np.zeros((200, 200, 3), np.uint8)) == []
