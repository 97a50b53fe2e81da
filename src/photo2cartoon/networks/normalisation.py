"""LIN, AdaLIN (U-GAT-IT, arXiv:1907.10830) and Soft-AdaLIN (photo2cartoon).

Each blends instance normalisation (statistics per channel) with layer normalisation (statistics over all channels) by a
learnt rho in 0..1. The layer statistics are computed from the channel statistics, so the input is read once for both.

All of them compute in float32, even if the networks around them run in bfloat16.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

EPSILON = 1e-5


def in_float32(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Make a module's forward take its tensors in float32 and compute in float32 under autocast."""

    @functools.wraps(forward)
    def careful(self: nn.Module, *given: Tensor) -> Tensor:
        device = given[0].device.type
        if not torch.is_autocast_enabled(device):
            return forward(self, *given)
        with torch.autocast(device, enabled=False):
            return forward(self, *(tensor.float() for tensor in given))

    return careful


class InstanceNorm(nn.InstanceNorm2d):
    """Instance normalisation without parameters, `[N, C, H, W]` to the same shape."""

    forward = in_float32(nn.InstanceNorm2d.forward)


def _blend_scale_shift(x: Tensor, rho: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Compute scale and shift so that `x * scale + shift` is rho * instance_norm(x) + (1 - rho) * layer_norm(x).

    Variances are unbiased, as in the paper's code.

    Args:
        x: `[N, C, H, W]`.
        rho: `[1, C, 1, 1]`.

    Returns:
        scale and shift, `[N, C, 1, 1]` each.
    """
    channels, pixels = x.shape[1], x.shape[2] * x.shape[3]
    variance, mean = torch.var_mean(x, dim=(2, 3), keepdim=True, correction=0)
    layer_mean = mean.mean(dim=1, keepdim=True)
    # Law of total variance: variance within the channels plus variance between them.
    layer_variance = variance.mean(dim=1, keepdim=True) + (mean - layer_mean).square().mean(dim=1, keepdim=True)
    inverse = torch.rsqrt(variance * (pixels / (pixels - 1)) + eps)
    total = pixels * channels
    layer_inverse = torch.rsqrt(layer_variance * (total / (total - 1)) + eps)
    scale = rho * inverse + (1 - rho) * layer_inverse
    shift = -(rho * mean * inverse + (1 - rho) * layer_mean * layer_inverse)
    return scale, shift


class AdaLIN(nn.Module):
    """Adaptive layer-instance normalisation: gamma and beta are inputs.

    Args:
        channels: number of input channels.
    """

    def __init__(self, channels: int, eps: float = EPSILON) -> None:
        super().__init__()
        self.eps = eps
        self.rho = nn.Parameter(torch.full((1, channels, 1, 1), 0.9))

    @in_float32
    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """Map `[N, C, H, W]`, `[N, C]`, `[N, C]` to `[N, C, H, W]`."""
        scale, shift = _blend_scale_shift(x, self.rho, self.eps)
        gamma = gamma[:, :, None, None]
        return torch.addcmul(shift * gamma + beta[:, :, None, None], x, scale * gamma)


class LIN(nn.Module):
    """Layer-instance normalisation with learnt gamma and beta.

    Args:
        channels: number of input channels.
    """

    def __init__(self, channels: int, eps: float = EPSILON) -> None:
        super().__init__()
        self.eps = eps
        self.rho = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    @in_float32
    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, C, H, W]` to the same shape."""
        scale, shift = _blend_scale_shift(x, self.rho, self.eps)
        return torch.addcmul(shift * self.gamma + self.beta, x, scale * self.gamma)


class SoftAdaLIN(nn.Module):
    """AdaLIN whose gamma and beta are learnt mixtures of those from content (encoder) and style (attention map).

    The mixture is initialised to pure style, which is U-GAT-IT's AdaLIN.

    Args:
        channels: number of channels of the input and of both feature vectors.
    """

    def __init__(self, channels: int, eps: float = EPSILON) -> None:
        super().__init__()
        self.norm = AdaLIN(channels, eps)
        self.w_gamma = nn.Parameter(torch.zeros(1, channels))
        self.w_beta = nn.Parameter(torch.zeros(1, channels))
        self.content_gamma = _two_layers(channels)
        self.content_beta = _two_layers(channels)
        self.style_gamma = nn.Linear(channels, channels)
        self.style_beta = nn.Linear(channels, channels)

    @in_float32
    def forward(self, x: Tensor, content: Tensor, style: Tensor) -> Tensor:
        """Map `[N, C, H, W]`, `[N, C]`, `[N, C]` to `[N, C, H, W]`."""
        gamma = torch.lerp(self.style_gamma(style), self.content_gamma(content), self.w_gamma.expand_as(style))
        beta = torch.lerp(self.style_beta(style), self.content_beta(content), self.w_beta.expand_as(style))
        return self.norm(x, gamma, beta)


def _two_layers(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels))


@torch.no_grad()
def clip_mixtures(module: nn.Module, rho: float = 1.0, w: float = 1.0) -> None:
    """Clamp every rho of the normalisations to 0..`rho` and every w to 0..`w`; called after each generator step."""
    for part in module.modules():
        if isinstance(part, AdaLIN | LIN):
            part.rho.clamp_(0, rho)
        elif isinstance(part, SoftAdaLIN):
            part.w_gamma.clamp_(0, w)
            part.w_beta.clamp_(0, w)
