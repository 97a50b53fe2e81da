"""The six losses of photo2cartoon, each a plain function of tensors.

Adversarial terms are least squares (arXiv:1611.04076), on the patches and on the attention's logits; attention itself is
trained by binary cross entropy (U-GAT-IT, arXiv:1907.10830).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def adversarial_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Real pictures should score 1 and fakes 0: logits of any shape to a scalar."""
    return (real - 1).square().mean() + fake.square().mean()


def adversarial_generator(fake: Tensor) -> Tensor:
    """Fakes should pass for real: logits of any shape to a scalar."""
    return (fake - 1).square().mean()


def cycle(real: Tensor, back: Tensor) -> Tensor:
    """There and back again is the same picture: mean absolute difference, in units of -1..1."""
    return F.l1_loss(back, real)


def identity(real: Tensor, same: Tensor) -> Tensor:
    """A picture that is of the target domain already is left alone: mean absolute difference."""
    return F.l1_loss(same, real)


def cam(source: Tensor, target: Tensor) -> Tensor:
    """A generator's attention should know what to change: logits `[N, 2]` of source pictures are 1, of target ones 0."""
    return F.binary_cross_entropy_with_logits(source, torch.ones_like(source)) + F.binary_cross_entropy_with_logits(
        target, torch.zeros_like(target)
    )


def face_id(real_features: Tensor, fake_features: Tensor) -> Tensor:
    """The person stays recognisable: 1 - cosine of face features `[N, D]`, averaged; 0 is the same face, 2 the opposite."""
    return (1 - F.cosine_similarity(real_features, fake_features)).mean()


def edges(picture: Tensor, target: Tensor) -> Tensor:
    """L1 of the differences between neighbours, down and across: lines count, whatever the area they cover.

    Args:
        picture, target: `[N, 3, H, W]`.
    """
    off = picture - target
    return off.diff(dim=2).abs().mean() + off.diff(dim=3).abs().mean()
