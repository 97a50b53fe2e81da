"""Distances between each cartoon and the drawing of the same photograph."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from photo2cartoon.networks.perceptual import Perceptual


def l1(images: Tensor, targets: Tensor) -> np.ndarray:
    """Return the mean absolute difference on the scale -1..1: two `[N, 3, S, S]` to `[N]`."""
    return (images - targets).abs().mean(dim=(1, 2, 3)).numpy()


def ssim(images: Tensor, targets: Tensor) -> np.ndarray:
    """Structural similarity (Wang et al., 2004), 1 is identical; uses scikit-image with the paper's Gaussian window.

    Args:
        images, targets: `[N, 3, S, S]` in -1..1.

    Returns:
        `[N]`.
    """
    from skimage.metrics import structural_similarity

    options = {
        "channel_axis": 0,
        "data_range": 2.0,
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
    }
    pairs = zip(images.numpy(), targets.numpy(), strict=True)
    return np.array([structural_similarity(image, target, **options) for image, target in pairs])


def perceptual(images: Tensor, targets: Tensor, network: Perceptual, batch: int = 8) -> np.ndarray:
    """Return the distance of a classifier's features: two `[N, 3, S, S]` to `[N]`; see `networks.perceptual`."""
    with torch.inference_mode():
        parts = zip(images.split(batch), targets.split(batch), strict=True)
        return torch.cat([network(image, target) for image, target in parts]).numpy()
