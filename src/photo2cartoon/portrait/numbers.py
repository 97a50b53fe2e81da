"""Numbers that describe a portrait, to compare what a server receives with what a model was trained on."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from photo2cartoon.portrait.maker import Portrait

# The middle of the face of a levelled portrait, without eyebrows, hair and neck, as shares of its side: top, bottom, left,
# right. It is the inner quarter of photo2cartoon's crop for the Face ID loss, where `scoring.colour` measures skin too.
FACE = (0.380, 0.698, 0.341, 0.659)
NOSE_TIP, LEFT_CORNER, RIGHT_CORNER = 30, 36, 45  # of the 68 landmarks

# What is summarised of a set of photographs: quantiles of these numbers, and the share that was refused.
SUMMARISED, QUANTILES, REFUSED = ("width", "brightness", "skin", "turn", "faces"), (0.05, 0.5, 0.95), "refused"


class Numbers(NamedTuple):
    """Numbers of a portrait.

    Args:
        width: of the face's landmarks in the photograph, pixels.
        brightness: median lightness of the face, CIE L*, 0 to 100.
        skin: individual typology angle of the face, degrees (Chardon et al., 1991); lighter skin has a larger one.
        turn: 0 for a face seen from the front, 1 if the tip of the nose is as far to the side as the corner of an eye.
    """

    width: float
    brightness: float
    skin: float
    turn: float


def numbers_of(portrait: Portrait) -> Numbers:
    """Describe a portrait.

    Args:
        portrait: as `PortraitMaker` makes it.
    """
    return Numbers(portrait.face_width, *face_colour(portrait.rgba), _turn(portrait.points))


def face_colour(rgba: np.ndarray) -> tuple[float, float]:
    """Return `brightness` and `skin` of a portrait.

    Args:
        rgba: uint8 `[S, S, 4]`.
    """
    top, bottom, left, right = (round(share * len(rgba)) for share in FACE)
    face = np.ascontiguousarray(rgba[top:bottom, left:right, :3])
    lab = cv2.cvtColor(face.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    lightness, _, yellow = np.median(lab, axis=0)
    return float(lightness), float(np.degrees(np.arctan2(lightness - 50, max(yellow, 1e-6))))


def _turn(points: np.ndarray) -> float:
    """Return how far the nose is from the middle of the eyes, along the line between them, as a share of half of it."""
    middle = (points[LEFT_CORNER] + points[RIGHT_CORNER]) / 2
    across = (points[RIGHT_CORNER] - points[LEFT_CORNER]) / 2
    return float(min(abs((points[NOSE_TIP] - middle) @ across) / max(across @ across, 1e-9), 1.0))
