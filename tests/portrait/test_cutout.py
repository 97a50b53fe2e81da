"""The edge of a large cut-out follows the photograph, and its colours have nothing of the background."""

import cv2
import numpy as np
import pytest

from photo2cartoon.portrait.cutout import (
    EDGE,
    RADIUS,
    follow_edges,
    guided_filter,
    inner_colours,
    own_colours,
    own_part,
)
from tests.conftest import noise

SIDE = 80


def test_the_guided_filter_is_the_papers():
    """Equals equations 19 to 21, computed window by window."""
    rgb = cv2.GaussianBlur(noise(SIDE, SIDE, 3), (0, 0), 2)
    mask = np.where(cv2.GaussianBlur(noise(SIDE, SIDE), (0, 0), 5) > 127, 255, 0).astype(np.uint8)
    radius = round(RADIUS * SIDE)
    guide, p = rgb / 255, mask / 255
    a, b = np.zeros((SIDE, SIDE, 3)), np.zeros((SIDE, SIDE))
    inner = range(radius, SIDE - radius)
    for y in inner:
        for x in inner:
            window = np.s_[y - radius : y + radius + 1, x - radius : x + radius + 1]
            colours, values = guide[window].reshape(-1, 3), p[window].ravel()
            covariance = np.cov(colours.T, bias=True) + EDGE * np.eye(3)
            together = (colours * values[:, None]).mean(axis=0) - colours.mean(axis=0) * values.mean()
            a[y, x] = np.linalg.solve(covariance, together)
            b[y, x] = values.mean() - a[y, x] @ colours.mean(axis=0)
    got = guided_filter(mask, rgb)
    for y in range(2 * radius, SIDE - 2 * radius):
        for x in range(2 * radius, SIDE - 2 * radius):
            window = np.s_[y - radius : y + radius + 1, x - radius : x + radius + 1]
            expected = a[window].mean(axis=(0, 1)) @ guide[y, x] + b[window].mean()
            assert abs(got[y, x] - 255 * np.clip(expected, 0, 1)) < 1.5


@pytest.fixture(scope="module")
def strands():
    """Dark strands over skin and over a bright wall: the picture, its true alpha, and the person's true colours."""
    alpha = np.zeros((512, 512), np.uint8)
    cv2.circle(alpha, (256, 300), 150, 255, -1, cv2.LINE_AA)
    for x in range(140, 380, 48):
        cv2.line(alpha, (x, 300), (x - 40, 110), 255, 6, cv2.LINE_AA)
    alpha = cv2.GaussianBlur(alpha, (0, 0), 1.2)
    share = alpha[..., None] / 255
    person = np.full((512, 512, 3), (60, 40, 30), np.uint8)
    picture = np.rint(person * share + np.array([150, 190, 230]) * (1 - share)).astype(np.uint8)
    return picture, alpha, person


def test_the_edge_follows_strands_that_the_mask_does_not_know(strands):
    picture, alpha, _ = strands
    mask = cv2.resize(cv2.resize(alpha, (64, 64), interpolation=cv2.INTER_AREA), (512, 512))
    before, after = (np.abs(each.astype(int) - alpha).mean() for each in (mask, follow_edges(mask, picture)))
    assert after < 0.5 * before


def test_no_background_is_left_in_the_colours(strands):
    picture, alpha, person = strands
    edge = (alpha > 40) & (alpha < 250)
    got = own_colours(picture, alpha)
    before, after = (np.abs(each.astype(int) - person)[edge].mean() for each in (picture, got))
    assert before > 40 and after < 0.2 * before
    certain = (alpha == 0) | (alpha == 255)
    assert np.array_equal(got[certain], picture[certain])


def test_a_drawings_light_edge_takes_the_colours_inside(strands):
    _, alpha, person = strands
    lightened = np.rint(255 - (255 - person.astype(float)) * (alpha[..., None] / 255) ** 2).astype(np.uint8)
    edge = (alpha > 40) & (alpha < 250)
    got = inner_colours(lightened, alpha)
    before, after = (np.abs(each.astype(int) - person)[edge].mean() for each in (lightened, got))
    assert before > 40 and after < 0.4 * before
    assert np.abs(got[alpha == 255].astype(int) - lightened[alpha == 255]).max() <= 1
    nothing = np.zeros_like(alpha)
    assert np.array_equal(inner_colours(lightened, nothing), lightened)


def test_each_face_keeps_what_is_nearer_to_it():
    face = np.array([[x, y] for x in (100.0, 140) for y in (100.0, 150)])
    neighbour = face + np.array([100, 0])
    part, theirs = own_part(face, [neighbour], 256), own_part(neighbour, [face], 256)
    assert part[125, 120] == theirs[125, 220] == 1 and part[125, 220] == theirs[125, 120] == 0
    assert np.allclose(part[125, 165:176] + theirs[125, 165:176], 1)
    larger = own_part(face, [(face - face.mean(axis=0)) * 2 + neighbour.mean(axis=0)], 256)
    assert larger.sum() < part.sum(), "a larger face has a larger part"
    assert (own_part(face, [], 256) == 1).all()
