"""SINet (Park et al., 2019, arXiv:1911.09099): portrait segmentation with 87,000 parameters.

Module names match the authors' state dict (clovaai/ext_portrait_segmentation, MIT), which is loaded as it is. The
network is the published one: 2 and 8 blocks, 2 classes.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 224  # of the training images; any multiple of 32 works
# Mean and standard deviation of the training images, BGR. The result is divided by 255 again, as in the authors' code.
MEAN_BGR, STD_BGR = (107.304565, 115.69884, 132.35703), (63.97182, 65.1337, 68.29726)
CLASSES = 2
# The two branches of every block: kernel size and downsampling factor.
SHALLOW = (((3, 1), (5, 1)), ((3, 1), (3, 1)))
DEEP = (
    ((3, 1), (5, 1)),
    ((3, 1), (3, 1)),
    ((5, 1), (3, 2)),
    ((5, 2), (3, 4)),
    ((3, 1), (3, 1)),
    ((5, 1), (5, 1)),
    ((3, 2), (3, 4)),
    ((3, 1), (5, 2)),
)
FIRST, STEM, SHALLOW_WIDTH, DEEP_WIDTH = 12, 16, 48, 96


class _Encoder(nn.Module):
    """The part that halves the image three times, under the authors' names; `SINet` fills it."""

    level1: nn.Sequential
    level2_0: nn.Sequential
    level2: nn.Sequential
    BR2: nn.Sequential
    level3_0: nn.Sequential
    level3: nn.Sequential
    BR3: nn.Sequential
    classifier: nn.Sequential


class SINet(nn.Module):
    """Portrait segmentation network; `normalise` prepares its input."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _Encoder()
        self.encoder.level1 = _named(conv=_conv(3, FIRST, 3, stride=2), **_activated(FIRST))
        self.encoder.level2_0 = _shrink(FIRST, STEM, squeeze=1)
        self.encoder.level2 = _blocks(STEM, SHALLOW_WIDTH, SHALLOW)
        self.encoder.BR2 = _named(**_activated(STEM + SHALLOW_WIDTH))
        self.encoder.level3_0 = _shrink(STEM + SHALLOW_WIDTH, SHALLOW_WIDTH, squeeze=2)
        self.encoder.level3 = _blocks(SHALLOW_WIDTH, DEEP_WIDTH, DEEP)
        self.encoder.BR3 = _named(**_activated(SHALLOW_WIDTH + DEEP_WIDTH))
        self.encoder.classifier = _named(conv=_conv(SHALLOW_WIDTH + DEEP_WIDTH, CLASSES))
        self.bn_3 = _norm(CLASSES)
        self.level2_C = _named(conv=_conv(SHALLOW_WIDTH, CLASSES), **_activated(CLASSES))
        self.bn_2 = _norm(CLASSES)
        self.classifier = nn.Sequential(nn.UpsamplingBilinear2d(scale_factor=2), _conv(CLASSES, CLASSES, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised BGR `[N, 3, H, W]`, sides multiples of 32, to logits `[N, 2, H, W]`; class 1 is the person."""
        encoder = self.encoder
        quarter = encoder.level2_0(encoder.level1(x))
        shallow = encoder.level2(quarter)
        eighth = encoder.level3_0(encoder.BR2(torch.cat([quarter, shallow], 1)))
        deep = encoder.BR3(torch.cat([eighth, encoder.level3(eighth)], 1))
        coarse = self.bn_3(_enlarge(encoder.classifier(deep), 2))
        # Information blocking: finer features are used only where the coarse prediction is uncertain.
        doubt = 1 - coarse.softmax(1).amax(1, keepdim=True)
        return self.classifier(self.bn_2(_enlarge(self.level2_C(shallow) * doubt + coarse, 2)))


class _Squeeze(nn.Module):
    """Squeeze and excitation: scales each channel by a factor computed from the averages of all channels."""

    def __init__(self, channels: int, divide: int) -> None:
        super().__init__()
        widths = [channels, channels // divide, channels] if divide > 1 else [channels, channels]
        layers = [(nn.Linear(a, b), nn.PReLU(b)) for a, b in itertools.pairwise(widths)]
        self.dense = nn.Sequential(*(part for layer in layers for part in layer))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.dense(x.mean((2, 3)))[:, :, None, None]


class _Branch(nn.Module):
    """Depthwise convolution, optionally on a downsampled input, then a 1x1 convolution across channels."""

    def __init__(self, channels: int, kernel: int, shrink: int) -> None:
        super().__init__()
        self.shrink = shrink
        self.conv = nn.Sequential(_conv(channels, channels, kernel, groups=channels), _norm(channels))
        self.act_conv1x1 = nn.Sequential(nn.PReLU(channels), _conv(channels, channels))
        self.bn = _norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.avg_pool2d(x, self.shrink) if self.shrink > 1 else x
        y = self.act_conv1x1(self.conv(y))
        return self.bn(_enlarge(y, self.shrink) if self.shrink > 1 else y)


class _Block(nn.Module):
    """The paper's S2 module: two branches with different receptive fields on the same half-width features."""

    def __init__(self, inputs: int, outputs: int, branches: tuple[tuple[int, int], ...]) -> None:
        super().__init__()
        self.c1 = _named(conv=_conv(inputs, outputs // 2, groups=2))
        self.d1, self.d2 = (_Branch(outputs // 2, *branch) for branch in branches)
        self.BR = _named(**_activated(outputs))
        self.residual = inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        half = self.c1(x).unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)  # interleave the two groups
        both = torch.cat([self.d1(half), self.d2(half)], 1)
        return self.BR(x + both if self.residual else both)


def normalise(rgb: Tensor) -> Tensor:
    """Convert RGB `[N, 3, H, W]` in 0..1 to the network's input."""
    mean, std = (torch.tensor(values, device=rgb.device)[:, None, None] for values in (MEAN_BGR, STD_BGR))
    return (rgb.flip(1) * 255 - mean) / std / 255


def _blocks(inputs: int, outputs: int, branches: tuple) -> nn.Sequential:
    widths = [inputs] + [outputs] * (len(branches) - 1)
    return nn.Sequential(*(_Block(width, outputs, pair) for width, pair in zip(widths, branches, strict=True)))


def _shrink(inputs: int, outputs: int, squeeze: int) -> nn.Sequential:
    filters = [_conv(inputs, inputs, 3, 2, inputs), _Squeeze(inputs, squeeze), _conv(inputs, outputs)]
    return _named(conv=nn.Sequential(*filters), **_activated(outputs))


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


def _activated(channels: int) -> dict[str, nn.Module]:
    return {"bn": _norm(channels), "act": nn.PReLU(channels)}


def _named(**layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


def _enlarge(x: Tensor, scale: int) -> Tensor:
    return F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=True)
