"""Skin: its colour in the middle of the face, in CIE L*a*b*. White balance and lighting affect all of it."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from photo2cartoon.networks.crop import crop_face

# Individual typology angle, degrees (Chardon et al., 1991; six classes of Del Bino and Bernerd, 2013, merged in pairs).
TONES = {"light": (41.0, 90.0), "medium": (10.0, 41.0), "dark": (-90.0, 10.0)}


def skin_colours(images: Tensor) -> np.ndarray:
    """Return the median colour of the middle of each face, L*a*b*, `[N, 3]`.

    Args:
        images: `[N, 3, S, S]` in -1..1, framed like portraits.
    """
    from skimage.color import rgb2lab

    faces = crop_face((images + 1) / 2).permute(0, 2, 3, 1).numpy()
    quarter = faces.shape[1] // 4
    middles = (rgb2lab(face[quarter:-quarter, quarter:-quarter]).reshape(-1, 3) for face in faces)
    return np.array([np.median(middle, axis=0) for middle in middles])


def typology_angles(images: Tensor) -> np.ndarray:
    """Return the individual typology angle of each face, degrees; lighter skin has a larger one."""
    lightness, _, yellow = skin_colours(images).T
    return np.degrees(np.arctan2(lightness - 50, np.maximum(yellow, 1e-6)))


def skin_tones(images: Tensor) -> list[str]:
    """Classify each face as light, medium or dark by its typology angle."""
    angles = typology_angles(images)
    return [next(name for name, (low, high) in TONES.items() if low <= angle <= high) for angle in angles]


def skin_difference(photos: Tensor, cartoons: Tensor) -> np.ndarray:
    """Return CIEDE2000 between the skin of each photograph and of its cartoon, `[N]`."""
    from skimage.color import deltaE_ciede2000

    return deltaE_ciede2000(skin_colours(photos), skin_colours(cartoons))
