"""The light and the full generator have the published size and shape."""

import pytest
import torch

from photo2cartoon.networks.generator import Generator
from photo2cartoon.networks.hourglass import MultiScaleBlock


def count(net):
    return sum(parameter.numel() for parameter in net.parameters())


def test_the_light_generator_has_the_published_number_of_weights():
    # The original has 3.83 M. In each of its 4 x 14 multi-scale blocks it also keeps a 1x1 convolution (32 x 32 weights)
    # that is never called, because input and output have the same width; ours omits it.
    assert count(Generator(32)) + 4 * 14 * 32 * 32 == 3_831_079


def test_the_full_generator_reads_every_pixel_of_the_attention():
    full, light = Generator(4, size=128, light=False), Generator(4, size=128)
    assert count(full) - count(light) == ((128 // 4) ** 2 - 1) * 16 * 16
    assert full(torch.zeros(1, 3, 128, 128)).image.shape == (1, 3, 128, 128)


@pytest.mark.parametrize("side", [128, 192, 256])
def test_the_light_generator_draws_any_size(side):
    with torch.inference_mode():
        drawing = Generator(4)(torch.rand(2, 3, side, side) * 2 - 1)
    assert drawing.image.shape == (2, 3, side, side) and drawing.image.abs().max() <= 1
    assert drawing.cam_logit.shape == (2, 2)
    assert drawing.heatmap.shape == (2, 1, side // 4, side // 4)


def test_pictures_of_a_batch_do_not_touch_one_another():
    torch.manual_seed(0)
    net, x = Generator(4).double(), torch.rand(3, 3, 128, 128, dtype=torch.float64)
    with torch.inference_mode():
        together, alone = net(x), net(x[1:2])
    for a, b in zip(together, alone, strict=True):
        assert torch.allclose(a[1:2], b, atol=1e-10)


def test_every_weight_takes_part():
    torch.manual_seed(0)
    net = Generator(4)
    with torch.no_grad():  # the mixture starts as pure style; 0.5 lets the content branch contribute
        for name, parameter in net.named_parameters():
            if "w_gamma" in name or "w_beta" in name or "rho" in name:
                parameter.fill_(0.5)
    drawing = net(torch.rand(1, 3, 128, 128))
    (drawing.image.square().sum() + drawing.cam_logit.sum()).backward()
    assert [name for name, parameter in net.named_parameters() if parameter.grad is None] == []


def test_the_attention_map_is_the_weighted_features():
    torch.manual_seed(0)
    attention = Generator(4).attention
    x = torch.randn(2, 16, 5, 5)
    attended, logit, heatmap = attention(x)
    assert torch.allclose(logit[:, :1], attention.average_fc(x.mean((2, 3))))
    assert torch.allclose(logit[:, 1:], attention.maximum_fc(x.amax((2, 3))))
    by_hand = torch.cat([x * net.weight.view(1, -1, 1, 1) for net in (attention.average_fc, attention.maximum_fc)], 1)
    assert torch.allclose(attended, torch.relu(attention.merge(by_hand)), atol=1e-6)
    assert torch.allclose(heatmap, attended.sum(1, keepdim=True))


def test_a_multi_scale_block_is_half_and_two_quarters_added():
    block, x = MultiScaleBlock(8), torch.randn(1, 8, 6, 6)
    first = block.convs[0](x)
    second = block.convs[1](first)
    assert [part.shape[1] for part in (first, second, block.convs[2](second))] == [4, 2, 2]
    assert torch.allclose(block(x), x + torch.cat([first, second, block.convs[2](second)], 1))


def test_impossible_sizes_are_refused():
    for arguments in ({"channels": 6}, {"size": 100}):
        with pytest.raises(ValueError, match="multiple"):
            Generator(**arguments)


@pytest.mark.parametrize("light", [True, False])
def test_with_adalin_and_without_hourglasses_it_is_u_gat_its(light):
    """The parameter count follows from arXiv:1907.10830's definition; ours only adds the linear layers' biases."""
    c, wide, side = 8, 32, 128 // 4
    net = Generator(c, 128, light, norm="adalin", hourglasses=False)
    ends = 2 * 3 * c * 49
    sampling = 2 * 9 * (c * 2 * c + 2 * c * wide)
    blocks = 2 * 4 * 2 * 9 * wide * wide + 4 * 2 * wide  # the decoder's blocks have one rho per channel
    attention = 2 * wide + 2 * wide * wide + wide
    style = wide * wide * (1 if light else side * side) + 3 * wide * wide  # two layers, gamma, beta
    normalisation = 3 * (2 * c + c)
    biases = 2 + 4 * wide
    assert count(net) == ends + sampling + blocks + attention + style + normalisation + biases
    drawing = net(torch.rand(1, 3, 128, 128) * 2 - 1)
    assert drawing.image.shape == (1, 3, 128, 128)
    (drawing.image.square().sum() + drawing.cam_logit.sum()).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_adalin_takes_its_scale_and_shift_from_the_style_alone():
    torch.manual_seed(0)
    net = Generator(4, 128, norm="adalin")
    seen = []
    for block in net.decoder:
        block.norm1.register_forward_pre_hook(lambda _, given: seen.append(given[1:]))
    net(torch.rand(1, 3, 128, 128))
    assert all(torch.equal(gamma, seen[0][0]) and torch.equal(beta, seen[0][1]) for gamma, beta in seen)
    assert not hasattr(net.decoder[0].norm1, "content_gamma")
