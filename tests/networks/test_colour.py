"""A photograph's colours come back into a drawing: flat regions take them, lines and the style's own look stay."""

import cv2
import numpy as np
import pytest
import torch
from skimage.color import deltaE_ciede2000, rgb2lab

from photo2cartoon.networks.colour import LUMA, bring_back
from photo2cartoon.portrait import Photograph, PortraitMaker
from photo2cartoon.portrait.background import on_white

SIDE = 256


def planes(picture):
    return torch.from_numpy(np.ascontiguousarray(picture, np.float32)).permute(2, 0, 1)[None]


def moved(photo, drawing, strength, alpha=None):
    alpha = np.ones((*photo.shape[:2], 1), np.float32) if alpha is None else alpha
    given = torch.full((1, 1, 1, 1), float(strength))
    return bring_back(planes(photo), planes(alpha), planes(drawing), given)[0].permute(1, 2, 0).numpy()


@pytest.fixture(scope="module")
def face():
    """Dark skin and black hair, drawn whitened and brown with a dark line between them: photograph, drawing, hair's mask."""
    hair = np.zeros((SIDE, SIDE), bool)
    hair[:100] = True
    line = np.zeros((SIDE, SIDE), bool)
    line[98:102] = True
    photo = np.where(hair[..., None], (0.08, 0.07, 0.07), (0.40, 0.26, 0.19))
    drawing = np.where(hair[..., None], (0.45, 0.30, 0.25), (0.97, 0.88, 0.84))
    drawing[line] = (0.15, 0.1, 0.1)
    return photo.astype(np.float32), drawing.astype(np.float32), hair, line


def test_nothing_moves_at_zero(face):
    photo, drawing, *_ = face
    assert np.abs(moved(photo, drawing, 0) - drawing).max() < 1e-5


def test_skin_and_hair_take_the_photographs_colours_and_the_line_stays_dark(face):
    photo, drawing, hair, line = face
    got = moved(photo, drawing, 1)
    for place in (np.s_[20:85, 20:-20], np.s_[115:-10, 20:-20]):
        gap = deltaE_ciede2000(rgb2lab(got[place]), rgb2lab(photo[place]))
        assert np.median(gap) < 2 < 15 < np.median(deltaE_ciede2000(rgb2lab(drawing[place]), rgb2lab(photo[place])))
    assert (got[line] @ LUMA).max() < 0.2
    # Nothing bleeds over the line: skin right below it and hair right above it have their own colours.
    assert deltaE_ciede2000(rgb2lab(got[104:108]), rgb2lab(photo[104:108])).mean() < 8
    assert deltaE_ciede2000(rgb2lab(got[92:96]), rgb2lab(photo[92:96])).mean() < 8
    half = moved(photo, drawing, 0.5)
    assert ((got <= half + 0.02) & (half <= drawing + 0.02))[hair & ~line].all()


def test_white_stays_white_and_a_grey_photograph_stays_grey(weights, hopper):
    made = PortraitMaker.from_weights(weights).of(Photograph(hopper)).rgba
    photo, alpha = on_white(made) / 255, made[..., 3:] / 255
    drawing = (1 - alpha) + alpha * np.float32((0.9, 0.7, 0.6))
    got = moved(photo, drawing, 1, alpha)
    assert (got[alpha[..., 0] == 0] == 1).all()
    grey = np.repeat((photo @ LUMA)[..., None], 3, axis=2)
    got = moved(grey, drawing, 1, alpha)
    assert np.ptp(got[alpha[..., 0] == 1], axis=-1).max() < 0.02
    assert np.ptp(moved(grey, drawing, 0, alpha)[alpha[..., 0] == 1], axis=-1).min() > 0.2


def test_light_eyes_in_dark_skin_stay_lighter_than_the_skin(face):
    photo, drawing, *_ = (each.copy() for each in face)
    for x in (80, 170):
        cv2.ellipse(photo, (x, 170), (14, 7), 0, 0, 360, (0.8, 0.78, 0.75), -1)
        cv2.ellipse(drawing, (x, 170), (14, 7), 0, 0, 360, (1, 1, 1), -1)
    got = moved(photo, drawing, 1)
    assert (got[170, 80] @ LUMA) > 1.6 * (got[210, 80] @ LUMA)


def test_size_and_number_do_not_matter(face):
    photo, drawing, *_ = face
    large = [cv2.resize(each, (512, 512), interpolation=cv2.INTER_NEAREST) for each in (photo, drawing)]
    assert np.abs(moved(*large, 0.9)[::2, ::2] - moved(photo, drawing, 0.9)).mean() < 0.005
    both = [torch.cat([planes(each), planes(each[::-1])]) for each in (photo, drawing)]
    ones = torch.ones(2, 1, SIDE, SIDE)
    got = bring_back(both[0], ones, both[1], torch.tensor([0.9, 0.2]).view(2, 1, 1, 1))
    assert torch.allclose(got[1], planes(moved(photo[::-1], drawing[::-1], 0.2))[0], atol=1e-5)
