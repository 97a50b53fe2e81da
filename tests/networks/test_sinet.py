"""SINet has its authors' tensors and shape, and separates a person from the background."""

import numpy as np
import pytest
import torch

from photo2cartoon.assets.catalogue import read_catalogue
from photo2cartoon.networks.sinet import SINet, _Block, normalise
from photo2cartoon.portrait import decode
from tests.conftest import needs


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return SINet().eval()


def test_a_mask_of_the_pictures_size(network):
    with torch.inference_mode():
        for side in (224, 96):
            logits = network(normalise(torch.rand(2, 3, side, side)))
            assert logits.shape == (2, 2, side, side) and bool(torch.isfinite(logits).all())


def test_it_is_as_small_as_the_paper_says(network):
    assert sum(parameter.numel() for parameter in network.parameters()) == 86_910  # "86.9K"


def test_pictures_are_normalised_as_by_its_authors():
    rgb = np.random.default_rng(0).integers(0, 256, (4, 4, 3)).astype(np.float32)
    bgr = (rgb[..., ::-1] - [107.304565, 115.69884, 132.35703]) / [63.97182, 65.1337, 68.29726] / 255
    got = normalise(torch.from_numpy(rgb / 255).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    assert np.allclose(got, bgr, atol=1e-6)


def test_the_two_halves_of_a_block_take_turns():
    """Channel shuffle by reshaping turns eight channels in two groups into 0 4 1 5 2 6 3 7."""
    block = _Block(8, 16, ((3, 1), (3, 1)))
    block.c1 = block.d1 = block.d2 = block.BR = torch.nn.Identity()
    first, second = block(torch.arange(8.0).view(1, 8, 1, 1)).flatten().chunk(2)  # of the two branches
    expected = torch.nn.ChannelShuffle(2)(torch.arange(8.0).view(1, 8, 1, 1)).flatten()
    assert first.tolist() == second.tolist() == expected.tolist() == [0, 4, 1, 5, 2, 6, 3, 7]


def test_its_authors_weights_fit_and_see_a_person(weights, hopper):
    import cv2

    needs(weights, "sinet")
    network = SINet()
    state = torch.load(weights / read_catalogue()["sinet"].file, map_location="cpu", weights_only=True)
    network.load_state_dict(state)
    rgb = cv2.resize(decode(hopper), (224, 224), interpolation=cv2.INTER_AREA)
    with torch.inference_mode():
        logits = network.eval()(normalise(torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255))
    person = logits[0].softmax(0)[1]
    assert person[80:200, 80:140].mean() > 0.95 and person[:40, :30].mean() < 0.2
