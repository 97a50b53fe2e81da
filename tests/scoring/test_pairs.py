"""Pairwise measures equal the formulas of their papers."""

import itertools

import cv2
import numpy as np
import pytest
import torch

from photo2cartoon.assets.catalogue import find_asset
from photo2cartoon.dataset.faces import load_faces, to_float
from photo2cartoon.networks.perceptual import Perceptual
from photo2cartoon.scoring import pairs


@pytest.fixture(scope="module")
def portraits(faces):
    return to_float(load_faces(faces / "trainA", 128).pictures)


def blurred(pictures, sigma):
    arrays = [cv2.GaussianBlur(picture.permute(1, 2, 0).numpy(), (0, 0), sigma) for picture in pictures]
    return torch.stack([torch.from_numpy(array).permute(2, 0, 1) for array in arrays])


def test_l1_and_ssim_are_their_formulas(portraits):
    other = blurred(portraits, 2)
    assert np.allclose(pairs.l1(portraits, portraits + 0.1), 0.1, atol=1e-6)
    assert np.allclose(pairs.ssim(portraits, portraits), 1)
    # Formula of Wang et al.: Gaussian window of 1.5 pixels, constants 0.01 and 0.03 of the range.
    x, y = (pictures[0].double().numpy() for pictures in (portraits, other))

    def window(values):
        return cv2.GaussianBlur(values, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT)

    channels = []
    for a, b in zip(x, y, strict=True):
        ma, mb = window(a), window(b)
        va, vb, cov = window(a * a) - ma**2, window(b * b) - mb**2, window(a * b) - ma * mb
        c1, c2 = 0.02**2, 0.06**2
        channels.append((2 * ma * mb + c1) * (2 * cov + c2) / (ma**2 + mb**2 + c1) / (va + vb + c2))
    expected = np.mean(channels, axis=0)[5:-5, 5:-5].mean()
    assert pairs.ssim(portraits, other)[0] == pytest.approx(expected, abs=1e-3)


def test_what_looks_less_alike_is_further(portraits, weights):
    network = Perceptual(find_asset("efficientnet_lite0", weights), "efficientnet-lite0")
    distances = [pairs.perceptual(portraits, blurred(portraits, sigma), network) for sigma in (0.5, 1, 2, 4)]
    assert np.allclose(pairs.perceptual(portraits, portraits, network), 0, atol=1e-6)
    assert all((near < far).all() for near, far in itertools.pairwise(distances))
    # The gradient reaches the picture but not the network's parameters.
    picture = portraits[:1].clone().requires_grad_(True)
    network(picture, blurred(portraits[:1], 2)).sum().backward()
    assert picture.grad.abs().sum() > 0 and not any(p.requires_grad for p in network.parameters())


def test_features_are_the_packages_own(weights, portraits):
    """The features equal the package's own forward pass, taken before each halving of the size."""
    from efficientnet_lite_pytorch import EfficientNet

    path = find_asset("efficientnet_lite0", weights)
    net = EfficientNet.from_name("efficientnet-lite0").eval()
    net.load_state_dict(torch.load(path, weights_only=True))
    maps = Perceptual(path, "efficientnet-lite0").features(portraits)
    with torch.no_grad():
        x = net._swish(net._bn0(net._conv_stem(((portraits + 1) * 127.5 - 127) / 128)))
        seen = {}
        for block in net._blocks:
            x = block(x)
            seen[x.shape[-1]] = x
    for own, side in zip(maps, (64, 32, 16, 8), strict=True):
        torch.testing.assert_close(own, torch.nn.functional.normalize(seen[side]), atol=1e-5, rtol=1e-4)
