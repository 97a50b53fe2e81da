"""The generator: U-GAT-IT's ResNet with class activation maps, hourglasses at both ends and a Soft-AdaLIN decoder.

With `norm="adalin"` and `hourglasses=False` it is U-GAT-IT's generator (arXiv:1907.10830); the defaults are
photo2cartoon's.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.utils.checkpoint import checkpoint

from photo2cartoon.networks.hourglass import Hourglass, conv
from photo2cartoon.networks.normalisation import LIN, AdaLIN, InstanceNorm, SoftAdaLIN

NORMS: dict[str, type[SoftAdaLIN] | type[AdaLIN]] = {"soft_adalin": SoftAdaLIN, "adalin": AdaLIN}


class GeneratorOutput(NamedTuple):
    """Output of a generator.

    Args:
        image: `[N, 3, H, W]` in -1..1.
        cam_logit: `[N, 2]`, logits for the input being of the source domain, by average and by maximum pooling.
        heatmap: `[N, 1, H/4, W/4]`, where the generator looks; not normalised.
    """

    image: Tensor
    cam_logit: Tensor
    heatmap: Tensor


class Attention(nn.Module):
    """Class activation map: features are weighted by how well they separate the two domains.

    Args:
        average_fc, maximum_fc: the two classifiers; discriminators wrap theirs in spectral normalisation.
        channels: number of feature channels.
        activation: applied after the 1x1 convolution.
    """

    def __init__(self, average_fc: nn.Linear, maximum_fc: nn.Linear, channels: int, activation: nn.Module) -> None:
        super().__init__()
        self.average_fc, self.maximum_fc = average_fc, maximum_fc
        self.merge = nn.Conv2d(channels * 2, channels, 1)
        self.activation = activation

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map `[N, C, H, W]` to attended features of that shape, logits `[N, 2]` and a heat map `[N, 1, H, W]`."""
        logit = torch.cat([self.average_fc(x.mean(dim=(2, 3))), self.maximum_fc(x.amax(dim=(2, 3)))], dim=1)
        by_average = x * _own_weight(self.average_fc)[:, :, None, None]
        by_maximum = x * _own_weight(self.maximum_fc)[:, :, None, None]
        attended = self.activation(self.merge(torch.cat([by_average, by_maximum], dim=1)))
        return attended, logit, attended.sum(dim=1, keepdim=True)


def _own_weight(linear: nn.Linear) -> Tensor:
    """Return the weight `[1, C]` before spectral normalisation, which U-GAT-IT's attention multiplies by."""
    if not is_parametrized(linear):
        return linear.weight
    parametrizations: Any = linear.parametrizations
    return parametrizations.weight.original


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with instance normalisation, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *conv(channels, channels, 3),
            InstanceNorm(channels),
            nn.ReLU(),
            *conv(channels, channels, 3),
            InstanceNorm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, C, H, W]` to the same shape."""
        return x + self.body(x)


class AdaptiveBlock(nn.Module):
    """Two 3x3 convolutions, each with a normalisation conditioned on two vectors, added to the input.

    Args:
        channels: input and output channels.
        norm: `SoftAdaLIN`, conditioned on content and style, or `AdaLIN`, on gamma and beta.
    """

    def __init__(self, channels: int, norm: type[SoftAdaLIN] | type[AdaLIN] = SoftAdaLIN) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(*conv(channels, channels, 3))
        self.norm1 = norm(channels)
        self.conv2 = nn.Sequential(*conv(channels, channels, 3))
        self.norm2 = norm(channels)

    def forward(self, x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Map `[N, C, H, W]`, `[N, C]`, `[N, C]` to `[N, C, H, W]`."""
        y = torch.relu(self.norm1(self.conv1(x), first, second))
        return x + self.norm2(self.conv2(y), first, second)


class Generator(nn.Module):
    """Translates an image of one domain into the other.

    Args:
        channels: width of the first layer (`ngf` in U-GAT-IT); a multiple of 4.
        size: side of the images, a multiple of 16; only the full generator depends on it.
        light: compute style features from pooled attention instead of from every pixel.
        norm: normalisation of the decoder: photo2cartoon's Soft-AdaLIN or U-GAT-IT's AdaLIN.
        hourglasses: add two before the encoder and two after the decoder, as in photo2cartoon.
        blocks: number of residual blocks in the encoder, and in the decoder.

    Raises:
        ValueError: channels is not a multiple of 4 or size is not a multiple of 16.
    """

    def __init__(
        self,
        channels: int = 32,
        size: int = 256,
        light: bool = True,
        norm: Literal["soft_adalin", "adalin"] = "soft_adalin",
        hourglasses: bool = True,
        blocks: int = 4,
    ) -> None:
        super().__init__()
        if channels % 4 or size % 16:
            raise ValueError(f"channels must be a multiple of 4 and size of 16, got {channels} and {size}")
        self.channels, self.size, self.light, self.norm = channels, size, light, norm
        self.recompute = False  # in training, recompute the activations inside blocks instead of keeping them
        wide = channels * 4
        self.stem = nn.Sequential(*conv(3, channels, 7), InstanceNorm(channels), nn.ReLU())
        self.hourglasses_in = nn.Sequential(*(Hourglass(channels) for _ in range(2 * hourglasses)))
        self.down = nn.Sequential(
            *conv(channels, channels * 2, 3, stride=2),
            InstanceNorm(channels * 2),
            nn.ReLU(),
            *conv(channels * 2, wide, 3, stride=2),
            InstanceNorm(wide),
            nn.ReLU(),
        )
        self.encoder = nn.ModuleList(ResidualBlock(wide) for _ in range(blocks))
        self.attention = Attention(nn.Linear(wide, 1), nn.Linear(wide, 1), wide, nn.ReLU())
        pixels = 1 if light else (size // 4) ** 2
        self.style = nn.Sequential(nn.Linear(wide * pixels, wide), nn.ReLU(), nn.Linear(wide, wide), nn.ReLU())
        if norm == "adalin":
            self.gamma, self.beta = nn.Linear(wide, wide), nn.Linear(wide, wide)
        self.decoder = nn.ModuleList(AdaptiveBlock(wide, NORMS[norm]) for _ in range(blocks))
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
        self.hourglasses_out = nn.Sequential(*(Hourglass(channels, last=index > 0) for index in range(2 * hourglasses)))
        self.head = nn.Sequential(*conv(3 if hourglasses else channels, 3, 7), nn.Tanh())

    def forward(self, x: Tensor) -> GeneratorOutput:
        """Map `[N, 3, H, W]` in -1..1 to a `GeneratorOutput`; H and W are multiples of 16."""
        x = self.stem(x)
        for hourglass in self.hourglasses_in:
            x = self._run(hourglass, x)
        x = self.down(x)
        contents = []
        for block in self.encoder:
            x = self._run(block, x)
            contents.append(x.mean(dim=(2, 3)))
        x, cam_logit, heatmap = self.attention(x)
        style = self.style(x.mean(dim=(2, 3)) if self.light else x.flatten(1))
        if self.norm == "adalin":
            steering = [(self.gamma(style), self.beta(style))] * len(self.decoder)
        else:
            steering = [(content, style) for content in reversed(contents)]
        for block, vectors in zip(self.decoder, steering, strict=True):
            x = self._run(block, x, *vectors)
        x = self._run(self.up, x)
        for hourglass in self.hourglasses_out:
            x = self._run(hourglass, x)
        return GeneratorOutput(self.head(x), cam_logit, heatmap)

    def _run(self, block: nn.Module, *given: Tensor) -> Tensor:
        if self.recompute and self.training and torch.is_grad_enabled():
            return checkpoint(block, *given, use_reentrant=False, preserve_rng_state=False)
        return block(*given)
