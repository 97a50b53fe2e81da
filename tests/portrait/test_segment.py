"""The segmentation models agree, and each gets its input as it did in training."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.portrait import PortraitMaker, decode
from photo2cartoon.portrait.align import level_and_crop
from photo2cartoon.portrait.segment import OnnxSegmenter, Photo2cartoonSegmenter, Segmenter
from tests.conftest import needs

GRAPH = Path(__file__).parents[1] / "importing/data/unet_tf1.onnx"


@pytest.mark.parametrize("photo", ["astronaut", "hopper"])
def test_sinet_and_the_selfie_segmenter_agree(weights, photo, request):
    needs(weights, "sinet")
    selfie, sinet = (PortraitMaker.from_weights(weights, segmentation=name) for name in ("selfie", "sinet"))
    rgb = decode(request.getfixturevalue(photo))
    crop, _ = level_and_crop(rgb, selfie.finder(rgb)[0].points)
    a, b = selfie.segmenter(crop) > 127, sinet.segmenter(crop) > 127
    assert b.shape == crop.shape[:2]
    assert (a & b).sum() / (a | b).sum() > 0.85


def test_pictures_of_any_shape_become_squares_in_0_to_1_and_masks_their_shape():
    seen = []

    def network(image):
        seen.append(image)
        return image[..., :1]

    segmenter = Segmenter(32, network)
    red = np.zeros((50, 80, 3), np.uint8)
    red[:, 40:, 0] = 255
    mask = segmenter(red)
    assert seen[0].shape == (32, 32, 3) and seen[0].dtype == np.float32 and seen[0].max() == 1
    assert mask.shape == (50, 80) and mask.dtype == np.uint8
    assert (mask[:, :35] == 0).all() and (mask[:, 45:] == 255).all()


def test_photo2cartoons_segmenter_shrinks_and_enlarges_by_area(astronaut):
    rgb = decode(astronaut)
    expected = cv2.resize(rgb, (384, 384), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    small = np.ascontiguousarray(rgb[:200, 100:300])
    enlarged = cv2.resize(small, (384, 384), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    segmenter = Photo2cartoonSegmenter(GRAPH)
    network, seen = segmenter._network, []
    segmenter._network = lambda image: seen.append(image) or network(image)
    for picture in (rgb, small):
        assert segmenter(picture).shape == picture.shape[:2]
    assert np.array_equal(seen[0], expected) and np.array_equal(seen[1], enlarged)


def test_a_damaged_graph_is_named(tmp_path):
    (tmp_path / "SINet-d164a9643c.onnx").write_bytes(GRAPH.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"SINet-d164a9643c\.onnx: damaged.*p2c assets"):
        OnnxSegmenter(tmp_path / "SINet-d164a9643c.onnx")
