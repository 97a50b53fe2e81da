"""The losses of all recipes, each a plain function of tensors, and their weighted sum.

Adversarial terms are least squares (arXiv:1611.04076), on the patches and on the attention's logits; attention itself is
trained by binary cross entropy (U-GAT-IT, arXiv:1907.10830).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from photo2cartoon.networks.colour import OFFSET, luma_of
from photo2cartoon.networks.discriminator import DiscriminatorOutput


def lsgan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's least squares: real images should score 1 and fakes 0. Logits of any shape to a scalar."""
    return (real - 1).square().mean() + fake.square().mean()


def lsgan_generator(fake: Tensor) -> Tensor:
    """The generator's least squares: fakes should score 1. Logits of any shape to a scalar."""
    return (fake - 1).square().mean()


def adversarial(outputs: Iterable[Sequence[DiscriminatorOutput]], loss: Callable[..., Tensor]) -> dict[str, Tensor]:
    """Sum the adversarial losses of all discriminators, on the patches and on the attention logits.

    Args:
        outputs: for each discriminator, its outputs for each argument of the loss.
        loss: `lsgan_discriminator` or `lsgan_generator`.
    """
    patches, cams = [], []
    for of_one in outputs:
        patches.append(loss(*(output.logit for output in of_one)))
        cams.append(loss(*(output.cam_logit for output in of_one)))
    return {"adversarial": added(patches), "adversarial_cam": added(cams)}


def added(terms: Iterable[Tensor]) -> Tensor:
    """Add one or more tensors, in their order."""
    return functools.reduce(torch.add, terms)


def lines_of(images: Tensor) -> Tensor:
    """Reduce images to their lines: the logarithm of luma without its low frequencies, which hold colours and shading.

    Args:
        images: `[N, 3, H, W]` in -1..1.

    Returns:
        The same shape, three equal channels, of about -1..1; multiplying an image's luma hardly changes it.
    """
    luma = torch.log(luma_of(((images + 1) / 2).clamp(0, 1)) + OFFSET)
    low, side = luma, 2 * (images.shape[-1] // 64) + 1
    for _ in range(2):
        low = F.avg_pool2d(low, side, stride=1, padding=side // 2, count_include_pad=False)
    return (luma - low).repeat(1, 3, 1, 1)


def seen(images: Tensor, what: Literal["colours", "lines"]) -> Tensor:
    """Return the discriminators' input: images `[N, 3, H, W]` as they are, or their lines alone (`discriminators_see`)."""
    return lines_of(images) if what == "lines" else images


def cycle(real: Tensor, back: Tensor) -> Tensor:
    """Cycle consistency: mean absolute difference of an image and its reconstruction, both in -1..1."""
    return F.l1_loss(back, real)


def identity(real: Tensor, same: Tensor) -> Tensor:
    """Identity: mean absolute difference of an image and its translation into its own domain, both in -1..1."""
    return F.l1_loss(same, real)


def cam(source: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of a generator's attention logits `[N, 2]`: 1 for source images, 0 for target images."""
    return F.binary_cross_entropy_with_logits(source, torch.ones_like(source)) + F.binary_cross_entropy_with_logits(
        target, torch.zeros_like(target)
    )


def face_id(real_features: Tensor, fake_features: Tensor) -> Tensor:
    """Face ID: mean of 1 - cosine of face features `[N, D]`; 0 for the same face, at most 2."""
    return (1 - F.cosine_similarity(real_features, fake_features)).mean()


def edges(picture: Tensor, target: Tensor) -> Tensor:
    """L1 of the image gradients, vertical and horizontal, which weights lines independently of their area.

    Args:
        picture, target: `[N, 3, H, W]`.
    """
    off = picture - target
    return off.diff(dim=2).abs().mean() + off.diff(dim=3).abs().mean()


def colours(picture: Tensor, target: Tensor) -> Tensor:
    """L1 of the means of squares of 1/16 of the side: colours and shading without lines and texture.

    Args:
        picture, target: `[N, 3, H, W]`, sides multiples of 16.
    """
    side = picture.shape[-1] // 16
    return F.l1_loss(F.avg_pool2d(picture, side), F.avg_pool2d(target, side))


def weighted(terms: Mapping[str, Tensor], weights: object) -> Tensor:
    """Sum scalar losses, each multiplied by the attribute of `weights` that has its name."""
    return added(getattr(weights, name) * value for name, value in terms.items())


def backward(
    which: str, terms: Mapping[str, Tensor], weights: object, report: dict[str, Tensor], parts: int = 1
) -> None:
    """Back-propagate the weighted sum of losses; add each loss, unweighted, and the weighted total to the report.

    Args:
        which: prefix of the names in the report.
        terms: scalar losses of one of `parts` parts of the batch.
        weights: an attribute per loss.
        report: gets `which/name` and `which/total`.
        parts: number of parts that the batch is divided into.
    """
    total = weighted(terms, weights)
    for name, value in {**terms, "total": total}.items():
        key = f"{which}/{name}"
        report[key] = report.get(key, 0) + value.detach() / parts
    if total.requires_grad:
        (total / parts).backward()
