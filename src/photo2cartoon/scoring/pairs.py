"""Distances between generated cartoons and given drawings of the same photographs, one by one; and skin tones."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from photo2cartoon.networks.crop import crop_face
from photo2cartoon.networks.perceptual import Perceptual

# Individual typology angle, degrees (Chardon et al., 1991; the six classes of Del Bino and Bernerd, 2013, two by two).
TONES = {"light": (41.0, 90.0), "medium": (10.0, 41.0), "dark": (-90.0, 10.0)}


def l1(images: Tensor, targets: Tensor) -> np.ndarray:
    """Mean absolute difference on the scale -1..1: `[N, 3, S, S]` twice to `[N]`."""
    return (images - targets).abs().mean(dim=(1, 2, 3)).numpy()


def ssim(images: Tensor, targets: Tensor) -> np.ndarray:
    """Structural similarity (Wang et al., 2004), 1 is the same, by scikit-image with the paper's Gaussian window.

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
    """Distance of a classifier's features: `[N, 3, S, S]` twice to `[N]`; `networks.perceptual` says what it is and is not."""
    with torch.inference_mode():
        parts = zip(images.split(batch), targets.split(batch), strict=True)
        return torch.cat([network(image, target) for image, target in parts]).numpy()


def skin_tones(photos: Tensor) -> list[str]:
    """light, medium or dark, by the angle of the face's median colour in L*a*b*; white balance and light count as skin.

    Args:
        photos: `[N, 3, S, S]` in -1..1, framed as portraits are.
    """
    from skimage.color import rgb2lab

    faces = crop_face((photos + 1) / 2).permute(0, 2, 3, 1).numpy()
    quarter = faces.shape[1] // 4
    names = []
    for face in faces:
        lightness, _, yellow = np.median(rgb2lab(face[quarter:-quarter, quarter:-quarter]).reshape(-1, 3), axis=0)
        angle = np.degrees(np.arctan2(lightness - 50, max(yellow, 1e-6)))
        names.append(next(name for name, (low, high) in TONES.items() if low <= angle <= high))
    return names
