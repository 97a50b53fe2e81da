"""The crop of a portrait that face networks take as input."""

from __future__ import annotations

from torch import Tensor


def crop_face(pictures: Tensor) -> Tensor:
    """Crop the square of a portrait with the face, without hair and neck: photo2cartoon's crop for the Face ID loss.

    Args:
        pictures: `[N, C, S, S]`.
    """
    side = pictures.shape[-1]
    top = int(side / 2.1 * (0.8 - 0.33))
    bottom = int(side - side / 2.1 * 0.3)
    left = int(side / 2 - (bottom - top) / 2)
    return pictures[:, :, top:bottom, left : left + bottom - top]
