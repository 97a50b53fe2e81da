"""Per-pair distances between generated cartoons and the drawings of the same photographs; and skin tones."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from photo2cartoon.networks.crop import crop_face
from photo2cartoon.networks.perceptual import Perceptual

# Individual typology angle, degrees (Chardon et al., 1991; six classes of Del Bino and Bernerd, 2013, merged in pairs).
TONES = {"light": (41.0, 90.0), "medium": (10.0, 41.0), "dark": (-90.0, 10.0)}


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


def skin_tones(photos: Tensor) -> list[str]:
    """Classify each face as light, medium or dark by the angle of its median colour in L*a*b*.

    White balance and lighting affect the result.

    Args:
        photos: `[N, 3, S, S]` in -1..1, framed like portraits.
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
