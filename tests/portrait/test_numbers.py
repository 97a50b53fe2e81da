"""The numbers of a portrait are those that other tools compute."""

import cv2
import numpy as np
import pytest
import torch

from photo2cartoon.dataset.faces import to_float
from photo2cartoon.params import PortraitParams
from photo2cartoon.portrait import Photograph, PortraitMaker
from photo2cartoon.portrait.background import on_white
from photo2cartoon.portrait.numbers import numbers_of
from photo2cartoon.scoring.colour import skin_colours, typology_angles


@pytest.fixture(scope="module")
def maker(weights):
    return PortraitMaker.from_params(weights, PortraitParams())


def test_colours_are_scikit_images(maker, hopper, astronaut):
    for photo in (hopper, astronaut):
        portrait = maker.of(Photograph(photo))
        found, image = numbers_of(portrait), to_float(torch.tensor(on_white(portrait.rgba)[None]).permute(0, 3, 1, 2))
        assert found.width == portrait.face_width
        assert found.brightness == pytest.approx(skin_colours(image)[0, 0], abs=1)
        assert found.skin == pytest.approx(typology_angles(image)[0], abs=2)


def test_a_darker_photograph_has_smaller_numbers(maker, hopper):
    bright = numbers_of(maker.of(Photograph(hopper)))
    dark = cv2.imencode(".png", (cv2.imread(str(hopper)) * 0.5).astype(np.uint8))[1].tobytes()
    dark = numbers_of(maker.of(Photograph(dark)))
    assert dark.brightness < bright.brightness - 15 and dark.skin < bright.skin - 30
    assert dark.turn == pytest.approx(bright.turn, abs=0.05)


def test_turn_is_the_same_in_a_mirror_and_when_tilted(maker, hopper):
    found = maker.of(Photograph(hopper))
    mirrored = cv2.imencode(".png", cv2.imread(str(hopper))[:, ::-1])[1].tobytes()
    assert numbers_of(maker.of(Photograph(mirrored))).turn == pytest.approx(numbers_of(found).turn, abs=0.05)
    sideways = cv2.imencode(".png", cv2.rotate(cv2.imread(str(hopper)), cv2.ROTATE_90_CLOCKWISE))[1].tobytes()
    assert numbers_of(maker.of(Photograph(sideways))).turn == pytest.approx(numbers_of(found).turn, abs=0.05)


def test_turn_grows_with_the_angle_of_the_head():
    """Landmarks of a head that is turned by known angles, seen from far away: the nose stands out by 0.6 of half the eyes'
    distance."""

    class Turned:
        face_width, rgba = 100, np.full((256, 256, 4), 255, np.uint8)

        def __init__(self, degrees):
            angle = np.radians(degrees)
            self.points = np.zeros((68, 2))
            self.points[36], self.points[45] = (-50 * np.cos(angle), 0), (50 * np.cos(angle), 0)
            self.points[30] = 30 * np.sin(angle), 40

    turns = [numbers_of(Turned(degrees)).turn for degrees in (0, 10, 20, 40, 70)]
    assert turns[0] == 0 and turns == sorted(turns) and turns[-1] == 1
    assert turns[1] == pytest.approx(0.6 * np.tan(np.radians(10)))
