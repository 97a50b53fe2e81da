"""MobileFaceNet (Chen et al., 2018, arXiv:1804.07573): a face network with a million parameters.

Two trained variants are supported and recognised by their tensor names: InsightFace_Pytorch's (512 numbers, PReLU),
which photo2cartoon's Face ID loss uses, and foamliu's (128 numbers, ReLU6). Both have the same blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photo2cartoon.networks.crop import crop_face

SIDE = 112
Variant = Literal["insightface", "foamliu"]
# Inner width, output width and stride of every bottleneck; it is residual where input and output shapes match.
BOTTLENECKS = (
    *((128, 64, stride) for stride in (2, 1, 1, 1, 1)),
    (256, 128, 2),
    *((256, 128, 1) for _ in range(6)),
    (512, 128, 2),
    *((256, 128, 1) for _ in range(2)),
)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class _Layer(nn.Sequential):
    """A convolution without bias, batch normalisation and, unless the layer is linear, an activation."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, act: nn.Module | None = None
    ) -> None:
        padding = kernel // 2 if kernel < 7 else 0
        parts = [nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)]
        super().__init__(*parts, nn.BatchNorm2d(outputs), *([act] if act else []))


class _Bottleneck(nn.Module):
    """Inverted bottleneck: a widening 1x1 convolution, a depthwise 3x3 convolution, a narrowing 1x1 convolution."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int, variant: Variant) -> None:
        super().__init__()
        self.expand = _Layer(inputs, inner, 1, act=_activation(variant, inner))
        self.filter = _Layer(inner, inner, 3, stride, inner, _activation(variant, inner))
        self.project = _Layer(inner, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.filter(self.expand(x)))
        return x + y if self.residual else y


class MobileFaceNet(nn.Module):
    """Face network: frozen, in evaluation mode, differentiable with respect to its input.

    Args:
        variant: `insightface` outputs 512 numbers, `foamliu` 128.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, variant: Variant = "insightface") -> None:
        super().__init__()
        self.variant = variant
        self.stem = _Layer(3, 64, 3, 2, act=_activation(variant, 64))
        filters = [_Layer(64, 64, 3, groups=64, act=_activation(variant, 64, plain=True))]
        if variant == "foamliu":
            filters.append(_Layer(64, 64, 1, act=nn.ReLU()))
        self.filter = nn.Sequential(*filters)
        blocks, width = [], 64
        for inner, outputs, stride in BOTTLENECKS:
            blocks.append(_Bottleneck(width, inner, outputs, stride, variant))
            width = outputs
        self.blocks = nn.Sequential(*blocks)
        self.widen = _Layer(width, 512, 1, act=_activation(variant, 512))
        self.pool = _Layer(512, 512, 7, groups=512)
        numbers = 512 if variant == "insightface" else 128
        self.linear = nn.Linear(512, numbers, bias=variant == "foamliu")
        self.norm = nn.BatchNorm1d(numbers)
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if variant == "foamliu" else ((0.5,) * 3, (0.5,) * 3)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> MobileFaceNet:
        """Stay in evaluation mode, because the network is frozen."""
        return super().train(False)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> MobileFaceNet:
        """Load trained parameters under the tensor names of either project.

        Raises:
            ValueError: tensors are missing, unexpected, or have wrong shapes.
        """
        variant: Variant = "foamliu" if any(name.startswith("features.") for name in tensors) else "insightface"
        net = cls(variant)
        names, own = original_names(variant), net.state_dict()
        filled = {}
        for theirs, ours in names.items():
            if theirs not in tensors:
                raise ValueError(f"'{theirs}' is missing")
            value = tensors[theirs].flatten(1) if ours == "linear.weight" else tensors[theirs]
            if value.shape != own[ours].shape:
                raise ValueError(f"'{theirs}' has shape {tuple(value.shape)}, not {tuple(own[ours].shape)}")
            filled[ours] = value
        surplus = [name for name in tensors if name not in names and not name.endswith(".num_batches_tracked")]
        if surplus:
            raise ValueError(f"'{surplus[0]}' is of no MobileFaceNet")
        net.load_state_dict(filled, strict=False)
        return net

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised RGB `[N, 3, 112, 112]` to features `[N, 512 or 128]`, not of length 1."""
        x = self.pool(self.widen(self.blocks(self.filter(self.stem(x)))))
        return self.norm(self.linear(x.flatten(1)))

    def features(self, pictures: Tensor) -> Tensor:
        """Compute the features of portraits.

        Args:
            pictures: `[N, 3, H, W]` in -1..1, framed as `portrait` frames them.

        Returns:
            `[N, 512 or 128]`, each of length 1.
        """
        face = F.interpolate(crop_face(pictures), size=(SIDE, SIDE), mode="bilinear", align_corners=True)
        return F.normalize(self(((face + 1) / 2 - self.mean) / self.std))


class _Place(NamedTuple):
    """One of our layers, and the names of its convolution, normalisation and activation in the original."""

    ours: str
    conv: str
    norm: str
    act: str | None = None


def original_names(variant: Variant) -> dict[str, str]:
    """Map the names of all tensors in the original state dict to ours."""
    foamliu = variant == "foamliu"
    places = []

    def layer(ours: str, theirs: str, act: bool = True) -> None:
        if foamliu:
            places.append(_Place(ours, f"{theirs}.0", f"{theirs}.1"))
        else:
            places.append(_Place(ours, f"{theirs}.conv", f"{theirs}.bn", f"{theirs}.prelu" if act else None))

    layer("stem", "conv1")
    if foamliu:
        places.append(_Place("filter.0", "dw_conv.depthwise", "dw_conv.bn1"))
        places.append(_Place("filter.1", "dw_conv.pointwise", "dw_conv.bn2"))
    else:
        layer("filter.0", "conv2_dw")
    for index, name in enumerate(_block_names(variant)):
        ours = f"blocks.{index}"
        if foamliu:
            layer(f"{ours}.expand", f"{name}.conv.0")
            layer(f"{ours}.filter", f"{name}.conv.1")
            places.append(_Place(f"{ours}.project", f"{name}.conv.2", f"{name}.conv.3"))
        else:
            layer(f"{ours}.expand", f"{name}.conv")
            layer(f"{ours}.filter", f"{name}.conv_dw")
            layer(f"{ours}.project", f"{name}.project", act=False)
    layer("widen", "conv2" if foamliu else "conv_6_sep")
    if foamliu:
        places.append(_Place("pool", "gdconv.depthwise", "gdconv.bn"))
    else:
        layer("pool", "conv_6_dw", act=False)
    names = {}
    for place in places:
        names[f"{place.conv}.weight"] = f"{place.ours}.0.weight"
        names |= {f"{place.norm}.{part}": f"{place.ours}.1.{part}" for part in _BATCH_NORM}
        if place.act:
            names[f"{place.act}.weight"] = f"{place.ours}.2.weight"
    last = "conv3" if foamliu else "linear"
    names[f"{last}.weight"] = "linear.weight"
    if foamliu:
        names[f"{last}.bias"] = "linear.bias"
    return names | {f"bn.{part}": f"norm.{part}" for part in _BATCH_NORM}


_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")


def _block_names(variant: Variant) -> list[str]:
    if variant == "foamliu":
        return [f"features.{index}" for index in range(len(BOTTLENECKS))]
    groups = [("conv_23", "conv_3", 4), ("conv_34", "conv_4", 6), ("conv_45", "conv_5", 2)]
    return [name for first, rest, count in groups for name in (first, *(f"{rest}.model.{i}" for i in range(count)))]


def _activation(variant: Variant, channels: int, plain: bool = False) -> nn.Module:
    if variant == "insightface":
        return nn.PReLU(channels)
    return nn.ReLU() if plain else nn.ReLU6()
