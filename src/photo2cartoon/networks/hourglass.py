"""Hourglass modules: features at five scales, as in stacked hourglasses (arXiv:1603.06937) and photo2cartoon."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photo2cartoon.networks.normalisation import InstanceNorm


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """Build a convolution without bias after reflection padding that keeps the size at stride 1."""
    return [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(inputs, outputs, kernel, stride, bias=False)]


class MultiScaleBlock(nn.Module):
    """Three pre-activated 3x3 convolutions with concatenated outputs (1/2, 1/4, 1/4 of the channels), plus the input.

    Args:
        channels: input and output channels; a multiple of 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = [channels, channels // 2, channels // 4, channels // 4]
        self.convs = nn.ModuleList(
            nn.Sequential(InstanceNorm(before), nn.ReLU(), *conv(before, after, 3))
            for before, after in pairwise(widths)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, C, H, W]` to the same shape."""
        parts, y = [], x
        for layer in self.convs:
            y = layer(y)
            parts.append(y)
        return x + torch.cat(parts, dim=1)


class HourglassBody(nn.Module):
    """Halves the resolution four times and doubles it four times, with a skip connection at each scale.

    Args:
        channels: input and output channels.
    """

    def __init__(self, channels: int, depth: int = 4) -> None:
        super().__init__()
        self.skips = nn.ModuleList(MultiScaleBlock(channels) for _ in range(depth))
        self.downs = nn.ModuleList(MultiScaleBlock(channels) for _ in range(depth))
        self.middle = MultiScaleBlock(channels)
        self.ups = nn.ModuleList(MultiScaleBlock(channels) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, C, H, W]` to the same shape; H and W are multiples of 16."""
        skipped = []
        for skip, down in zip(self.skips, self.downs, strict=True):
            skipped.append(skip(x))
            x = down(F.avg_pool2d(x, 2))
        x = self.middle(x)
        for up in self.ups:
            x = skipped.pop() + F.interpolate(up(x), scale_factor=2.0, mode="nearest")
        return x


class Hourglass(nn.Module):
    """An hourglass that also predicts an image, and feeds it back into the features unless it is the last one.

    Args:
        channels: input and output channels.
        last: return the 3-channel image instead of features.
    """

    def __init__(self, channels: int, last: bool = False) -> None:
        super().__init__()
        self.features = nn.Sequential(
            HourglassBody(channels),
            MultiScaleBlock(channels),
            nn.Conv2d(channels, channels, 1, bias=False),
            InstanceNorm(channels),
            nn.ReLU(),
        )
        self.picture = nn.Conv2d(channels, 3, 1)
        self.last = last
        if not last:
            self.from_features = nn.Conv2d(channels, channels, 1)
            self.from_picture = nn.Conv2d(3, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, C, H, W]` to the same shape, or to `[N, 3, H, W]` when last."""
        features = self.features(x)
        picture = self.picture(features)
        return picture if self.last else x + self.from_features(features) + self.from_picture(picture)
