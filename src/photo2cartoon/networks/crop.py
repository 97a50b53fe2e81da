"""The crops of a portrait that face networks take as input."""

from __future__ import annotations

from torch import Tensor

# Left, top and side of `crop_to_template`, as shares of the portrait's side.
TEMPLATE_BOX = (0.1288, 0.1355, 0.7381)


def crop_to_template(pictures: Tensor) -> Tensor:
    """Crop a portrait so that eyes, nose and mouth lie where ArcFace's template has them.

    Networks of this family expect a similarity transform of five points to the template. Portraits are levelled and
    scaled already, so one box serves all: the least-squares fit of the five mean points of 150 portraits (eyes within
    1.4 px of the mean at 256 px).

    Args:
        pictures: `[N, C, S, S]`.
    """
    left, top, side = (round(share * pictures.shape[-1]) for share in TEMPLATE_BOX)
    return pictures[:, :, top : top + side, left : left + side]


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
