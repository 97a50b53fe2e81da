"""Backgrounds of portraits and cartoons: white, transparent, a colour, or the photograph's own."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import ImageColor

from photo2cartoon.errors import UserError
from photo2cartoon.portrait.cutout import inner_colours
from photo2cartoon.portrait.maker import Portrait
from photo2cartoon.portrait.shrink import shrunk

COLOUR = 0.9  # default strength of the photograph's colours in a cartoon, 0 to 1
WHITE, TRANSPARENT, PHOTOGRAPH = "white", "transparent", "photograph"


def on_white(rgba: np.ndarray) -> np.ndarray:
    """Composite a portrait on white: uint8 `[..., 4]` to uint8 `[..., 3]`, rounded to nearest."""
    return on_colour(rgba, (255, 255, 255))


def on_colour(rgba: np.ndarray, colour: tuple[int, int, int] | np.ndarray) -> np.ndarray:
    """Composite uint8 `[..., 4]` on a colour, or on an image `[..., 3]`: uint8 `[..., 3]`, rounded to nearest."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return np.rint(rgba[..., :3] * alpha + np.asarray(colour, np.float32) * (1 - alpha)).astype(np.uint8)


def without_white(cartoon: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Take the white, which models draw on, out of a cartoon again.

    Args:
        cartoon: uint8 `[S, S, 3]`, on white.
        alpha: of its portrait, uint8 `[S, S]`.

    Returns:
        uint8 `[S, S, 4]`.
    """
    share = alpha.astype(np.float32)[..., None] / 255
    colours = (cartoon - 255 * (1 - share)) / np.maximum(share, 1 / 255)
    return np.dstack([inner_colours(np.rint(np.clip(colours, 0, 255)).astype(np.uint8), alpha), alpha])


def check_background(background: str) -> None:
    """Check a background's name.

    Raises:
        UserError: it is neither `white`, `transparent`, `photograph` nor a colour.
    """
    if background not in (TRANSPARENT, PHOTOGRAPH):
        colour_of(background)


def put_on(cartoon: np.ndarray, portrait: Portrait, background: str, photo: np.ndarray | None = None) -> np.ndarray:
    """Put a cartoon on another background.

    Args:
        cartoon: uint8 `[S, S, 3]`, on white.
        portrait: the portrait that it was drawn from.
        background: `white`, `transparent`, `photograph`, or a colour: a name of CSS or `#RRGGBB`.
        photo: the photograph, uint8 `[H, W, 3]`, for `photograph`.

    Returns:
        uint8 `[S, S, 3]`, or `[S, S, 4]` for `transparent`.

    Raises:
        UserError: the background is unknown.
    """
    if background == WHITE:
        return cartoon
    rgba = without_white(cartoon, portrait.rgba[..., 3])
    if background == TRANSPARENT:
        return rgba
    if background == PHOTOGRAPH:
        assert photo is not None
        return on_colour(rgba, _framed(photo, portrait.matrix, len(cartoon)))
    return on_colour(rgba, colour_of(background))


def _framed(rgb: np.ndarray, matrix: np.ndarray, side: int) -> np.ndarray:
    """Return the part of a photograph that a portrait shows, uint8 `[side, side, 3]`; white beyond the edges."""
    step = int(1 / np.linalg.norm(matrix[0, :2]))
    if step > 1:  # shrunk by a whole number first, as warping takes single pixels
        rgb = shrunk(rgb, 1 / step)
        matrix = np.column_stack([matrix[:, :2] * step, matrix[:, 2] + matrix[:, :2].sum(axis=1) * (step - 1) / 2])
    return cv2.warpAffine(rgb, matrix, (side, side), borderValue=(255, 255, 255))


def colour_of(name: str) -> tuple[int, int, int]:
    """Return the RGB levels of a colour: a name of CSS or `#RRGGBB`.

    Raises:
        UserError: there is no such colour.
    """
    try:
        levels = ImageColor.getrgb(name)[:3]
        if max(levels) > 255:
            raise ValueError(name)
        return levels
    except (ValueError, TypeError, AttributeError):
        known = f"{WHITE}, {TRANSPARENT}, {PHOTOGRAPH}, a colour's name or #RRGGBB"
        raise UserError(f"background '{name}': is none of {known}") from None
