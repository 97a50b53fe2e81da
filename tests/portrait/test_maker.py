"""A photograph in any orientation becomes an aligned, cut-out portrait."""

import subprocess
import sys
from typing import get_args

import cv2
import numpy as np
import pytest
from PIL import Image

from photo2cartoon.assets.catalogue import read_catalogue
from photo2cartoon.errors import UserError
from photo2cartoon.params import PortraitParams
from photo2cartoon.pictures import encode_png
from photo2cartoon.portrait import Photograph, PictureError, PortraitMaker, decode
from photo2cartoon.portrait.align import eye_angle
from photo2cartoon.portrait.background import on_white
from photo2cartoon.portrait.find import Finder
from photo2cartoon.portrait.maker import check_weights
from photo2cartoon.portrait.models import DETECTORS, LANDMARKS, SEGMENTERS
from tests.conftest import noise


@pytest.fixture(scope="module")
def maker(weights):
    return PortraitMaker.from_weights(weights)


@pytest.mark.parametrize("angle", [-25, -10, 0, 15, 25])
def test_eyes_are_level_whatever_the_photograph(maker, hopper, angle):
    tilted = np.asarray(Image.fromarray(decode(hopper)).rotate(angle, resample=2, fillcolor=(128, 128, 128)))
    portrait = maker(tilted)
    assert portrait.rgba.shape == (256, 256, 4) and portrait.rgba.dtype == np.uint8
    points = maker.finder(on_white(portrait.rgba))[0].points
    assert abs(np.degrees(eye_angle(points))) < 3


@pytest.mark.parametrize("photo", ["astronaut", "hopper"])
def test_the_face_is_kept_and_the_background_is_not(maker, photo, request):
    portrait = maker(decode(request.getfixturevalue(photo)))
    alpha = portrait.rgba[..., 3]
    assert alpha[110:190, 95:160].mean() > 250
    assert alpha[5:40, :30].mean() < 60
    assert portrait.faces == 1


def test_the_largest_of_several_faces(maker, hopper):
    large = decode(hopper)
    small = cv2.resize(large, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
    both = np.full((600, 512 + small.shape[1], 3), 255, np.uint8)
    both[: len(small), : small.shape[1]] = small
    both[:, small.shape[1] :] = large
    portrait = maker(both)
    assert portrait.faces == 2
    assert portrait.face_width == pytest.approx(maker(large).face_width, rel=0.1)


def test_no_face_and_too_small_a_face(maker, hopper):
    with pytest.raises(PictureError) as caught:
        maker(noise(400, 400, 3))
    assert caught.value.reason == "no face"
    with pytest.raises(PictureError) as caught:
        maker(cv2.resize(decode(hopper), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA))
    assert caught.value.reason == "too small"


def test_a_large_photograph_gives_the_same_portrait(maker, hopper):
    rgb = decode(hopper)
    large = cv2.resize(rgb, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    a, b = (maker.finder(on_white(maker(picture).rgba))[0].points for picture in (rgb, large))
    assert np.abs(a - b).mean() < 6  # of 256 pixels


def test_everybody_the_largest_first(maker, group, hopper):
    """Each portrait is that of the person alone; nobody is there twice, and whoever is too small is left out."""
    portraits = maker.all_of(Photograph(group))
    assert [portrait.faces for portrait in portraits] == [3, 3, 3]
    widths = [portrait.face_width for portrait in portraits]
    assert widths == sorted(widths, reverse=True)
    alone = maker.of(Photograph(hopper))
    assert np.abs(portraits[0].points - alone.points).mean() < 0.02 * alone.face_width
    inside = portraits[0].rgba[..., 3] & alone.rgba[..., 3] == 255
    assert inside.mean() > 0.85 * (alone.rgba[..., 3] == 255).mean()
    strict = PortraitMaker(maker.finder, maker.segmenter, min_face=(widths[1] + widths[2]) // 2)
    assert [portrait.face_width for portrait in strict.all_of(Photograph(group))] == widths[:2]
    with pytest.raises(PictureError, match="at least 500 are needed"):
        PortraitMaker(maker.finder, maker.segmenter, min_face=500).all_of(Photograph(group))


@pytest.mark.parametrize("edge", ["left", "bottom"])
def test_a_face_at_the_edge(maker, hopper, edge):
    """A face that touches the photograph's edge is cropped as usual; beyond the edge nobody is."""
    rgb = decode(hopper)
    part = rgb[:, 160:] if edge == "left" else rgb[:360]
    portrait, whole = maker(np.ascontiguousarray(part)), maker(rgb)
    assert portrait.face_width == pytest.approx(whole.face_width, rel=0.05)
    inside = cv2.warpAffine(np.ones(part.shape[:2], np.uint8), portrait.matrix, (256, 256), borderValue=0)
    assert 0.05 < (inside == 0).mean() < 0.5 and portrait.rgba[inside == 0, 3].mean() < 30
    assert portrait.rgba[inside > 0, 3].mean() > 100


def test_neighbours_share_no_pixel(maker, hopper):
    """Two people side by side, closer than their crops are wide: what one portrait keeps, the other does not."""
    rgb = decode(hopper)[:, 130:400]
    both = np.hstack([rgb, rgb[:, ::-1]])
    encoded = cv2.imencode(".png", both[..., ::-1])[1].tobytes()
    masks = []
    for portrait in maker.all_of(Photograph(encoded)):
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        masks.append(cv2.warpAffine(portrait.rgba[..., 3], portrait.matrix, both.shape[1::-1], flags=flags))
    assert len(masks) == 2
    assert (np.minimum(*masks) > 128).mean() < 0.001
    alone = maker.cut(both, maker.finder(both)[0].points)
    beyond = cv2.warpAffine(alone.rgba[..., 3], alone.matrix, both.shape[1::-1], flags=flags)
    assert (np.minimum(beyond, masks[1]) > 128).mean() > 0.01, "without that, one shows part of the other"


def test_a_crowd_takes_bounded_work_and_gives_ten_portraits(maker, astronaut):
    head = cv2.resize(decode(astronaut)[20:300, 80:380], (150, 140), interpolation=cv2.INTER_AREA)
    crowd = np.full((1200, 1600, 3), 120, np.uint8)
    for number in range(48):
        y, x = divmod(number, 8)
        crowd[y * 190 : y * 190 + 140, x * 190 : x * 190 + 150] = head
    looked = []
    landmarks = maker.finder.landmarks
    finder = Finder(maker.finder.detector, lambda rgb, boxes: looked.append(len(boxes)) or landmarks(rgb, boxes))
    encoded = cv2.imencode(".png", crowd)[1].tobytes()
    portraits = PortraitMaker(finder, maker.segmenter, 16).all_of(Photograph(encoded))
    assert len(portraits) == 10 and max(looked) <= 24
    assert len({portrait.box for portrait in portraits}) == 10


@pytest.mark.parametrize("scale", [1, 3])
def test_portraits_of_512_pixels_and_of_the_heads_own_size(maker, hopper, scale):
    """Sizes differ in pixels alone; the head's own size has the photograph's pixels, in whole multiples of 64."""
    rgb = cv2.resize(decode(hopper), None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    photo = Photograph(cv2.imencode(".png", rgb[..., ::-1])[1].tobytes())
    small, large, own = (maker.of(photo, size) for size in (256, 512, None))
    assert large.rgba.shape == (512, 512, 4) and large.box == small.box == own.box
    shrunk = cv2.resize(on_white(large.rgba), (256, 256), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(int) - on_white(small.rgba)).mean() < 6
    corners = (
        np.array([[-0.5, -0.5, 1], [255.5, -0.5, 1], [-0.5, 255.5, 1]]) @ cv2.invertAffineTransform(small.matrix).T
    )
    again = corners @ large.matrix[:, :2].T + large.matrix[:, 2]
    assert np.abs(again - [[-0.5, -0.5], [511.5, -0.5], [-0.5, 511.5]]).max() < 0.01
    side = len(own.rgba)
    zoom = np.linalg.norm(own.matrix[0, :2])
    assert side % 64 == 0 and side == {1: 384, 3: 1024}[scale]
    assert zoom == pytest.approx(1, abs=0.2) or side == 1024


@pytest.mark.parametrize(
    ("choice", "file"),
    [
        ({"landmarks": "face-alignment"}, "2DFAN4-11f355bf06.pth.tar"),
        ({"detector": "sfd"}, "s3fd-619a316812.pth"),
        ({"detector": "blazeface"}, "blazeface.pth"),
        ({"segmentation": "sinet"}, "SINet.pth"),
        ({"segmentation": "photo2cartoon"}, "seg_model_384.pb"),
    ],
)
def test_a_choice_without_its_weights_says_what_is_missing(weights, tmp_path, choice, file):
    for entry in read_catalogue().values():
        if not entry.optional:
            (tmp_path / entry.file).symlink_to(weights / entry.file)
    for build in (PortraitMaker.from_params, check_weights):
        with pytest.raises(UserError) as caught:
            build(tmp_path, PortraitParams(**choice))
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / file}: missing; no package registry has it: put the file from https://")
        assert "assets.folder" in message and "\n" not in message


def test_a_maker_is_what_params_say(weights):
    made = PortraitMaker.from_params(weights, PortraitParams(detector="mmod", min_face=99))
    assert type(made.finder.detector).__name__ == "Mmod" and made.min_face == 99
    check_weights(weights, PortraitParams(detector="mmod"))


def test_every_choice_in_params_can_be_made():
    for key, table in (("detector", DETECTORS), ("landmarks", LANDMARKS), ("segmentation", SEGMENTERS)):
        assert list(get_args(PortraitParams.model_fields[key].annotation)) == list(table)
        assert all(name in read_catalogue() for entry in table.values() for name in entry.assets)


def test_no_torch_here():
    code = "import sys, photo2cartoon.portrait, photo2cartoon.dataset.preprocess; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_photograph_of_many_megapixels_gives_the_same_portrait(weights, astronaut, tmp_path):
    """A JPEG is decoded at a fraction of its size, unless the face needs every pixel."""
    maker = PortraitMaker.from_weights(weights)
    rgb = cv2.resize(decode(astronaut), None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    far = np.full((3072, 3072, 3), 200, np.uint8)
    far[1000:1700, 1200:1900] = cv2.resize(rgb, (700, 700), interpolation=cv2.INTER_AREA)
    for name, picture, coarse in (("near", rgb, True), ("far", far, False)):
        path = tmp_path / f"{name}.jpg"
        cv2.imwrite(str(path), picture[..., ::-1])
        used, original = [], maker.cut
        maker.cut = lambda given, *more, used=used, original=original: used.append(given) or original(given, *more)
        made = maker.of(Photograph(path))
        del maker.cut
        assert (used[0].shape[0] < 3072) == coarse
        whole = maker(decode(path))
        assert abs(made.face_width - whole.face_width) <= 0.02 * whole.face_width
        corners = np.array([[0, 0, 1], [0, 255, 1], [255, 0, 1]]).T
        back, expected = (cv2.invertAffineTransform(portrait.matrix) @ corners for portrait in (made, whole))
        assert np.abs(back - expected).max() < 0.02 * np.ptp(expected)
        inside = made.rgba[..., 3] & whole.rgba[..., 3] == 255
        assert np.abs(made.rgba.astype(int) - whole.rgba)[inside].mean() < 14


@pytest.mark.parametrize("shape", [(16, 4300), (8000, 20), (16, 60_000)])
def test_a_strip_is_a_photograph_without_a_face(maker, shape):
    out = np.zeros((*shape, 3), np.uint8)
    for call in (
        maker,
        lambda rgb: maker.of(Photograph(encode_png(rgb))),
        lambda rgb: maker.all_of(Photograph(encode_png(rgb))),
    ):
        with pytest.raises(PictureError, match="no face"):
            call(out)
