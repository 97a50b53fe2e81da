"""The losses of both recipes, each a plain function of tensors, and their weighted sum.

Adversarial terms are least squares (arXiv:1611.04076), on the patches and on the attention's logits; attention itself is
trained by binary cross entropy (U-GAT-IT, arXiv:1907.10830).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from photo2cartoon.networks.discriminator import DiscriminatorOutput


def lsgan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's least squares: real images should score 1 and fakes 0. Logits of any shape to a scalar."""
    return (real - 1).square().mean() + fake.square().mean()


def lsgan_generator(fake: Tensor) -> Tensor:
    """The generator's least squares: fakes should score 1. Logits of any shape to a scalar."""
    return (fake - 1).square().mean()


def adversarial(outputs: Iterable[Sequence[DiscriminatorOutput]], loss: Callable[..., Tensor]) -> dict[str, Tensor]:
    """The adversarial terms of all discriminators together: on the patches, and on the attention's logits.

    Args:
        outputs: of each discriminator, what it says of each of the loss's arguments.
        loss: `lsgan_discriminator` or `lsgan_generator`.
    """
    patches, cams = [], []
    for of_one in outputs:
        patches.append(loss(*(output.logit for output in of_one)))
        cams.append(loss(*(output.cam_logit for output in of_one)))
    return {"adversarial": sum(patches), "adversarial_cam": sum(cams)}


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


def backward(
    which: str, terms: Mapping[str, Tensor], weights: object, report: dict[str, Tensor], parts: int = 1
) -> None:
    """Add the gradients of the weighted sum of losses, and to the report each loss unweighted, with their weighted total.

    Args:
        which: prefix of the names in the report.
        terms: losses of one of `parts` parts of the batch, scalars.
        weights: has an attribute for each loss.
        report: gets `which/name` and `which/total`.
        parts: of the batch.
    """
    total = sum(getattr(weights, name) * value for name, value in terms.items())
    for name, value in {**terms, "total": total}.items():
        key = f"{which}/{name}"
        report[key] = report.get(key, 0) + value.detach() / parts
    if total.requires_grad:
        (total / parts).backward()
