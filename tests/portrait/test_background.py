"""A cartoon on another background: nothing of the white that it was drawn on is left."""

import cv2
import numpy as np
import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.portrait import Photograph, PortraitMaker, decode
from photo2cartoon.portrait.background import check_background, on_colour, on_white, put_on, without_white
from photo2cartoon.portrait.options import DrawOptions
from tests.conftest import noise


@pytest.fixture(scope="module", params=[256, 512])
def made(weights, hopper, request):
    return PortraitMaker.from_weights(weights).of(Photograph(hopper), request.param)


def test_on_white_rounds_to_nearest():
    rgba = noise(8, 8, 4)
    alpha = rgba[..., 3:] / 255
    exact = rgba[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(on_white(rgba) - exact).max() <= 0.5001


def test_a_transparent_cartoon_on_white_is_the_cartoon(made):
    """Except on the edge, which models lighten, and which takes the colours inside."""
    cartoon = on_white(made.rgba)
    rgba = put_on(cartoon, made, "transparent")
    assert np.array_equal(rgba[..., 3], made.rgba[..., 3])
    certain = np.isin(made.rgba[..., 3], (0, 255))
    assert np.abs(on_white(rgba).astype(int) - cartoon)[certain].max() <= 1
    assert np.array_equal(put_on(cartoon, made, "white"), cartoon)


def test_no_halo(made):
    """A dark drawing with its edge lightened by the white has no light rim on black, nor a dark one on white."""
    alpha = made.rgba[..., 3:] / 255
    lightened = np.rint(255 - (255 - 40) * np.repeat(alpha**2, 3, axis=2)).astype(np.uint8)
    black = on_colour(without_white(lightened, made.rgba[..., 3]), (0, 0, 0))
    assert np.percentile(black, 99) <= 70
    assert np.percentile(on_colour(np.dstack([lightened, made.rgba[..., 3]]), (0, 0, 0)), 99) > 90, "there was one"


@pytest.mark.parametrize(
    ("name", "rgb"), [("black", (0, 0, 0)), ("#ff8800", (255, 136, 0)), ("skyblue", (135, 206, 235))]
)
def test_a_colour(made, name, rgb):
    shown = put_on(on_white(made.rgba), made, name)
    assert (shown[made.rgba[..., 3] == 0] == rgb).all()


@pytest.mark.parametrize("name", ["reddish", "rgb(300, 0, 0)", "", None, ["white"]])
def test_what_is_no_colour_is_refused(name):
    with pytest.raises(UserError, match="is none of white, transparent, photograph, a colour's name"):
        DrawOptions(background=name)


def test_a_large_photographs_background_is_as_smooth_as_a_small_ones(weights, hopper):
    """Four times as many pixels give the same background, not every fourth of them."""
    maker = PortraitMaker.from_weights(weights)
    small = decode(hopper)
    large = cv2.resize(small, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
    large = np.clip(large + 60.0 * (np.indices(large.shape[:2]).sum(axis=0) % 2 * 2 - 1)[..., None], 0, 255).astype(
        np.uint8
    )
    photo = Photograph(cv2.imencode(".png", large[..., ::-1])[1].tobytes())
    portrait = maker.of(photo)
    outside = portrait.rgba[..., 3] == 0
    shown = put_on(on_white(portrait.rgba), portrait, "photograph", photo.rgb).astype(np.float32)
    rough = np.abs(shown - cv2.GaussianBlur(shown, (0, 0), 1))[outside].mean()
    assert rough < 6


def test_the_photographs_own_background(made, hopper):
    photo = Photograph(hopper)
    shown = put_on(on_white(made.rgba), made, "photograph", photo.rgb)
    crop = cv2.warpAffine(photo.rgb, made.matrix, shown.shape[:2], borderValue=(255, 255, 255))
    outside = made.rgba[..., 3] == 0
    assert outside.mean() > 0.1 and np.array_equal(shown[outside], crop[outside])
    assert np.abs(shown.astype(int) - crop).mean() < 12, "its own colours are where they were"


def test_an_unknown_background_is_named():
    with pytest.raises(
        UserError, match="background 'beidge': is none of white, transparent, photograph, a colour's name"
    ):
        check_background("beidge")
