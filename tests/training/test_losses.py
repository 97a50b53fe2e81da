"""Each loss equals its formula, computed here with numpy."""

import cv2
import numpy as np
import pytest
import torch

from photo2cartoon.training import losses


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return torch.randn(2, 3, 4, 4, dtype=torch.float64), torch.randn(2, 3, 4, 4, dtype=torch.float64)


def numbers(*tensors):
    return [tensor.numpy() for tensor in tensors]


def test_least_squares(pair):
    real, fake = numbers(*pair)
    assert losses.lsgan_discriminator(*pair).item() == pytest.approx(((real - 1) ** 2).mean() + (fake**2).mean())
    assert losses.lsgan_generator(pair[1]).item() == pytest.approx(((fake - 1) ** 2).mean())


def test_cycle_and_identity_are_mean_absolute_differences(pair):
    a, b = numbers(*pair)
    for loss in (losses.cycle, losses.identity):
        assert loss(*pair).item() == pytest.approx(np.abs(a - b).mean())


def test_attention_is_binary_cross_entropy(pair):
    source, target = (1 / (1 + np.exp(-x)) for x in numbers(*pair))
    expected = -np.log(source).mean() - np.log(1 - target).mean()
    assert losses.cam(*pair).item() == pytest.approx(expected)


def test_face_id_is_one_minus_cosine(pair):
    a, b = (tensor.flatten(1) for tensor in pair)
    x, y = numbers(a, b)
    cosine = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    assert losses.face_id(a, b).item() == pytest.approx((1 - cosine).mean())
    assert losses.face_id(a, a).item() == pytest.approx(0)
    assert losses.face_id(a, -a).item() == pytest.approx(2)


def test_lines_are_those_of_the_picture_whatever_its_colours(astronaut):
    photo = np.ascontiguousarray(cv2.imread(str(astronaut))[:256, 128:384])
    picture = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 127.5 - 1
    lines = losses.lines_of(picture)
    assert lines.shape == picture.shape and torch.equal(lines[:, 0], lines[:, 2])
    darker = losses.lines_of((picture + 1) * 0.5 - 1)
    assert (lines - darker).abs().mean() < 0.25 * lines.abs().mean(), "half as light, nearly the same lines"
    assert losses.lines_of(torch.full((1, 3, 64, 64), -0.3)).abs().max() < 1e-5
    drawn = picture.clone()
    drawn[..., 100:102, :] = -1
    assert losses.lines_of(drawn)[..., 100:102, :].mean() < -0.5
