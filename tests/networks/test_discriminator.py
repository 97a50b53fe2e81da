"""Five layers see patches, seven see faces, and spectral normalisation bounds the gain of every convolution."""

import pytest
import torch
from torch import nn

from photo2cartoon.networks.discriminator import Discriminator


@pytest.mark.parametrize(("layers", "strides", "side"), [(7, [2, 2, 2, 2, 2, 1], 6), (5, [2, 2, 2, 1], 30)])
def test_layers(layers, strides, side):
    net = Discriminator(4, layers)
    convs = [part for part in net.body if isinstance(part, nn.Conv2d)]
    assert [conv.stride[0] for conv in convs] == strides
    assert [conv.out_channels for conv in convs] == [4 * 2**power for power in range(layers - 1)]
    output = net(torch.randn(2, 3, 256, 256))
    assert output.logit.shape == (2, 1, side, side)
    assert output.cam_logit.shape == (2, 2)
    assert output.heatmap.shape == (2, 1, side + 1, side + 1)


def test_spectral_norm_bounds_every_layer_but_the_merge():
    net = Discriminator(4, 5)
    for _ in range(60):
        net(torch.randn(1, 3, 128, 128))
    for name, part in net.named_modules():
        if isinstance(part, nn.Conv2d | nn.Linear) and name != "attention.merge":
            gain = torch.linalg.matrix_norm(part.weight.flatten(1), 2)
            assert gain.item() == pytest.approx(1, abs=0.02), name
    assert not hasattr(net.attention.merge, "parametrizations")


def test_gradients_reach_the_picture_and_every_weight():
    net, x = Discriminator(4), torch.randn(1, 3, 128, 128, requires_grad=True)
    output = net(x)
    (output.logit.sum() + output.cam_logit.sum()).backward()
    assert x.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in net.parameters())
