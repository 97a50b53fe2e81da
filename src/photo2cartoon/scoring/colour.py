"""Colours of skin, of the top of the head, and of clothes, in CIE L*a*b*. White balance and lighting affect them all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from photo2cartoon.networks.crop import crop_face

# Places of the top of the head (hair, a headscarf, or skin) and of clothes, as shares of the portrait's side: the columns of
# the head and the height below its top; the height above the bottom. A pixel is the person's if it is darker than this.
TOP_LEFT, TOP_RIGHT, TOP_HEIGHT, CLOTHES_HEIGHT, NOT_WHITE = 0.35, 0.65, 0.12, 0.06, 0.96
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


def head_difference(photos: Tensor, cartoons: Tensor) -> np.ndarray:
    """Return CIEDE2000 between the top of the head of each photograph and of its cartoon, `[N]`."""
    return _difference(photos, cartoons, _top_of_head)


def clothes_difference(photos: Tensor, cartoons: Tensor) -> np.ndarray:
    """Return CIEDE2000 between the clothes (the lowest rows) of each photograph and of its cartoon, `[N]`."""
    return _difference(photos, cartoons, _clothes)


def _difference(photos: Tensor, cartoons: Tensor, place: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Compare the median colours of a place; a photograph in which it is empty counts as no difference."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    pairs = [np.zeros((0, 2, 3))]
    for photo, cartoon in zip(photos, cartoons, strict=True):
        given, made = (((each + 1) / 2).permute(1, 2, 0).numpy() for each in (photo, cartoon))
        chosen = place(given)
        shown = chosen if chosen.any() else np.ones_like(chosen)
        colours = [
            np.median(rgb2lab(each[shown][None])[0], axis=0) for each in (given, made if chosen.any() else given)
        ]
        pairs.append(np.array(colours)[None])
    both = np.concatenate(pairs)
    return deltaE_ciede2000(both[:, 0], both[:, 1])


def _top_of_head(photo: np.ndarray) -> np.ndarray:
    side = len(photo)
    person = photo.min(axis=-1) < NOT_WHITE
    columns = np.zeros(side, bool)
    columns[int(TOP_LEFT * side) : int(TOP_RIGHT * side)] = True
    rows = np.flatnonzero(person[:, columns].mean(axis=1) > 0.2)
    top = rows[0] if len(rows) else side
    band = np.zeros(side, bool)
    band[top : top + int(TOP_HEIGHT * side)] = True
    return person & columns & band[:, None]


def _clothes(photo: np.ndarray) -> np.ndarray:
    person = photo.min(axis=-1) < NOT_WHITE
    person[: -int(CLOTHES_HEIGHT * len(photo))] = False
    return person
