"""The discriminators: patch classifiers with attention, global for the whole face and local for its parts."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.parametrize import register_parametrization

from photo2cartoon.networks.generator import Attention
from photo2cartoon.networks.normalisation import in_float32

Layer = TypeVar("Layer", bound=nn.Conv2d | nn.Linear)
GLOBAL_LAYERS, LOCAL_LAYERS = 7, 5
SLOPE = 0.2


class SpectralNorm(_SpectralNorm):
    """torch's spectral normalisation (arXiv:1802.05957), computed in float32 even under autocast."""

    forward = in_float32(_SpectralNorm.forward)

    @in_float32
    def singular_value(self, weight: Tensor) -> Tensor:
        """Estimate the largest singular value from the vectors, after one more power iteration in training mode."""
        matrix = self._reshape_weight_to_matrix(weight)
        if self.training:
            self._power_method(matrix, self.n_power_iterations)
        return torch.vdot(self._u.clone(), torch.mv(matrix, self._v.clone()))


class SpectralConv2d(nn.Conv2d):
    """A convolution with spectral normalisation that divides the output instead of millions of weights."""

    parametrizations: Any  # `register_parametrization` puts it here; its `weight` is a list of them with `original`

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, K, h, w]`."""
        weights = self.parametrizations.weight
        y = self._conv_forward(x, weights.original, None)
        y = y / weights[0].singular_value(weights.original).to(y.dtype)
        return y if self.bias is None else y + self.bias[:, None, None].to(y.dtype)


def spectral_norm(layer: Layer) -> Layer:
    """Divide a layer's weight by its largest singular value, estimated by one power iteration per forward pass."""
    register_parametrization(layer, "weight", SpectralNorm(layer.weight, dim=0))
    return layer


class DiscriminatorOutput(NamedTuple):
    """Output of a discriminator.

    Args:
        logit: `[N, 1, h, w]`, one number per patch.
        cam_logit: `[N, 2]`, from the attention.
        heatmap: `[N, 1, h + 1, w + 1]`, where the discriminator looks.
    """

    logit: Tensor
    cam_logit: Tensor
    heatmap: Tensor

    def split(self, sizes: int | list[int]) -> list[DiscriminatorOutput]:
        """Split the outputs along the batch, with sizes as in `torch.split`."""
        return [DiscriminatorOutput(*parts) for parts in zip(*(tensor.split(sizes) for tensor in self), strict=True)]


class Discriminator(nn.Module):
    """Discriminates images of one domain from generated ones.

    Args:
        channels: width of the first layer (`ndf` in U-GAT-IT).
        layers: 7 for the global discriminator, 5 for the local one.
    """

    def __init__(self, channels: int = 32, layers: int = GLOBAL_LAYERS) -> None:
        super().__init__()
        widths = [3] + [channels * 2**power for power in range(layers - 1)]
        strides = [2] * (layers - 2) + [1]
        body = []
        for before, after, stride in zip(widths, widths[1:], strides, strict=False):
            body += [
                nn.ReflectionPad2d(1),
                spectral_norm(SpectralConv2d(before, after, 4, stride)),
                nn.LeakyReLU(SLOPE),
            ]
        self.body = nn.Sequential(*body)
        wide = widths[-1]
        average_fc, maximum_fc = (spectral_norm(nn.Linear(wide, 1, bias=False)) for _ in range(2))
        self.attention = Attention(average_fc, maximum_fc, wide, nn.LeakyReLU(SLOPE))
        self.head = nn.Sequential(nn.ReflectionPad2d(1), spectral_norm(SpectralConv2d(wide, 1, 4, bias=False)))

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """Map `[N, 3, H, W]` in -1..1 to a `DiscriminatorOutput`; H and W are at least 128 with 7 layers."""
        x, cam_logit, heatmap = self.attention(self.body(x))
        return DiscriminatorOutput(self.head(x), cam_logit, heatmap)


def build_discriminator(name: str, channels: int) -> Discriminator:
    """Build a randomly initialised discriminator by its U-GAT-IT name: disGA, disGB are global, disLA, disLB local."""
    return Discriminator(channels, GLOBAL_LAYERS if name.startswith("disG") else LOCAL_LAYERS)
