"""The generator: U-GAT-IT's ResNet with class activation maps, framed by hourglasses, decoded through Soft-AdaLIN."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from photo2cartoon.networks.hourglass import Hourglass, conv
from photo2cartoon.networks.normalisation import LIN, SoftAdaLIN

BLOCKS = 4


class Drawing(NamedTuple):
    """What a generator returns.

    Args:
        picture: `[N, 3, H, W]` in -1..1.
        cam_logit: `[N, 2]`, is this the source domain? by average and by maximum.
        heatmap: `[N, 1, H/4, W/4]`, where the generator looks; not normalised.
    """

    picture: Tensor
    cam_logit: Tensor
    heatmap: Tensor


class Attention(nn.Module):
    """Class activation map: a feature counts as much as it tells the domains apart.

    Args:
        channels: of the features.
        linear: makes the two classifiers; discriminators wrap theirs in spectral normalisation.
        activation: after the 1x1 convolution.
    """

    def __init__(self, average_fc: nn.Linear, maximum_fc: nn.Linear, channels: int, activation: nn.Module) -> None:
        super().__init__()
        self.average_fc, self.maximum_fc = average_fc, maximum_fc
        self.merge = nn.Conv2d(channels * 2, channels, 1)
        self.activation = activation

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`[N, C, H, W]` to attended features of that shape, logits `[N, 2]` and a heat map `[N, 1, H, W]`."""
        # The classifiers run first: under spectral normalisation the call is what refreshes their weight.
        logit = torch.cat([self.average_fc(x.mean(dim=(2, 3))), self.maximum_fc(x.amax(dim=(2, 3)))], dim=1)
        by_average = x * self.average_fc.weight[:, :, None, None]
        by_maximum = x * self.maximum_fc.weight[:, :, None, None]
        attended = self.activation(self.merge(torch.cat([by_average, by_maximum], dim=1)))
        return attended, logit, attended.sum(dim=1, keepdim=True)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with instance normalisation, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *conv(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            *conv(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to the same shape."""
        return x + self.body(x)


class SoftAdaLINBlock(nn.Module):
    """Two 3x3 convolutions with Soft-AdaLIN, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(*conv(channels, channels, 3))
        self.norm1 = SoftAdaLIN(channels)
        self.conv2 = nn.Sequential(*conv(channels, channels, 3))
        self.norm2 = SoftAdaLIN(channels)

    def forward(self, x: Tensor, content: Tensor, style: Tensor) -> Tensor:
        """`[N, C, H, W]`, `[N, C]`, `[N, C]` to `[N, C, H, W]`."""
        y = torch.relu(self.norm1(self.conv1(x), content, style))
        return x + self.norm2(self.conv2(y), content, style)


class Generator(nn.Module):
    """Draws a picture of one domain as a picture of the other.

    Args:
        channels: width of the first layer (`ngf` in U-GAT-IT); a multiple of 4.
        size: side of the pictures; only the full generator depends on it.
        light: style features from pooled attention instead of from every pixel.
    """

    def __init__(self, channels: int = 32, size: int = 256, light: bool = True) -> None:
        super().__init__()
        if channels % 4 or size % 16:
            raise ValueError(f"channels must be a multiple of 4 and size of 16, got {channels} and {size}")
        self.channels, self.size, self.light = channels, size, light
        wide = channels * 4
        self.stem = nn.Sequential(*conv(3, channels, 7), nn.InstanceNorm2d(channels), nn.ReLU())
        self.hourglasses_in = nn.Sequential(Hourglass(channels), Hourglass(channels))
        self.down = nn.Sequential(
            *conv(channels, channels * 2, 3, stride=2),
            nn.InstanceNorm2d(channels * 2),
            nn.ReLU(),
            *conv(channels * 2, wide, 3, stride=2),
            nn.InstanceNorm2d(wide),
            nn.ReLU(),
        )
        self.encoder = nn.ModuleList(ResidualBlock(wide) for _ in range(BLOCKS))
        self.attention = Attention(nn.Linear(wide, 1), nn.Linear(wide, 1), wide, nn.ReLU())
        pixels = 1 if light else (size // 4) ** 2
        self.style = nn.Sequential(nn.Linear(wide * pixels, wide), nn.ReLU(), nn.Linear(wide, wide), nn.ReLU())
        self.decoder = nn.ModuleList(SoftAdaLINBlock(wide) for _ in range(BLOCKS))
        self.up = nn.Sequential(
            nn.Upsample(scale_factor=2.0),
            *conv(wide, channels * 2, 3),
            LIN(channels * 2),
            nn.ReLU(),
            nn.Upsample(scale_factor=2.0),
            *conv(channels * 2, channels, 3),
            LIN(channels),
            nn.ReLU(),
        )
        self.hourglasses_out = nn.Sequential(Hourglass(channels), Hourglass(channels, last=True))
        self.head = nn.Sequential(*conv(3, 3, 7), nn.Tanh())

    def forward(self, x: Tensor) -> Drawing:
        """`[N, 3, H, W]` in -1..1 to a `Drawing`; H and W multiples of 16."""
        x = self.down(self.hourglasses_in(self.stem(x)))
        contents = []
        for block in self.encoder:
            x = block(x)
            contents.append(x.mean(dim=(2, 3)))
        x, cam_logit, heatmap = self.attention(x)
        style = self.style(x.mean(dim=(2, 3)) if self.light else x.flatten(1))
        for block, content in zip(self.decoder, reversed(contents), strict=True):
            x = block(x, content, style)
        return Drawing(self.head(self.hourglasses_out(self.up(x))), cam_logit, heatmap)
