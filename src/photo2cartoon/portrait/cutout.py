"""The cut-out at more than 256 px: its edge follows hair, its colours have nothing of the background."""

from __future__ import annotations

import cv2
import numpy as np

# The mask's edge is looked for in a band of this half width around it, between the mean colours of person and background
# in a radius of this size (shares of the side). Colours have to differ by more than this to decide (levels).
BAND, NEAR, DIFFERENT = 1 / 128, 1 / 16, 40.0
# Radius of the guided filter, as a share of the side, and the variance that counts as an edge (levels in 0..1).
RADIUS, EDGE = 1 / 40, 1e-4
# Radii of the two estimates of the person's own colours, as shares of the side.
COLOUR_RADII = (1 / 20, 1 / 128)
# Radii in which colours from inside the drawing are looked for, nearest first, as shares of the side.
INNER_RADII = (1 / 128, 1 / 40, 1 / 16)
# How gradually one person's part of a portrait ends and the next person's begins, in units of their distance.
SHARED = 0.1


def follow_edges(mask: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """Refine a mask along the edges of its image.

    Around its edge, a pixel's share of the person follows from its colour, between the colours of person and background
    nearby; the guided filter smooths the result.

    Args:
        mask: uint8 `[H, W]`.
        rgb: uint8 `[H, W, 3]`.

    Returns:
        uint8 `[H, W]`.
    """
    return guided_filter(_between_colours(mask, rgb), rgb)


def _between_colours(mask: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """Estimate the mask near its edge as the place of a pixel's colour between person and background."""
    image, alpha, side = rgb.astype(np.float32), mask.astype(np.float32) / 255, max(mask.shape)
    width = 2 * max(1, round(BAND * side)) + 1
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    low, high = cv2.erode(alpha, around), cv2.dilate(alpha, around)
    radius = max(1, round(NEAR * side))
    person, near_person = _mean_colour(image, np.clip(10 * low - 9, 0, 1), radius)  # all but surely the person
    background, near_background = _mean_colour(image, np.clip(1 - 10 * high, 0, 1), radius)  # or background
    difference = person - background
    squared = (difference**2).sum(axis=-1)
    share = ((image - background) * difference).sum(axis=-1) / (squared + 1)
    share = np.clip((share - 0.1) / 0.8, 0, 1)  # colours scatter around their means
    band = np.clip(2 * np.minimum(high, 1 - low), 0, 1)
    trust = squared / (squared + DIFFERENT**2) * near_person * near_background * band
    return np.rint(255 * (trust * share + (1 - trust) * alpha)).astype(np.uint8)


def _mean_colour(image: np.ndarray, weights: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted mean colour around each pixel, and in 0..1 whether there is any weight around."""
    near = _mean(weights, radius)[..., None]
    return _mean(image * weights[..., None], radius) / np.maximum(near, 1e-4), np.clip(20 * near[..., 0], 0, 1)


def guided_filter(mask: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """Smooth a mask so that in every window it is a linear function of the three colours.

    He, Sun and Tang, 2013 (doi:10.1109/TPAMI.2012.213), equations 19 to 21.

    Args:
        mask: uint8 `[H, W]`.
        rgb: uint8 `[H, W, 3]`, the image that guides.

    Returns:
        uint8 `[H, W]`.
    """
    radius = max(1, round(RADIUS * max(mask.shape)))
    guide = rgb.astype(np.float32) / 255
    scaled = mask.astype(np.float32) / 255
    r, g, b = (np.ascontiguousarray(guide[..., channel]) for channel in range(3))
    means = [_mean(channel, radius) for channel in (r, g, b)]
    mean = _mean(scaled, radius)
    rr, gg, bb = (_mean(c * c, radius) - m * m + EDGE for c, m in zip((r, g, b), means, strict=True))
    rg = _mean(r * g, radius) - means[0] * means[1]
    rb = _mean(r * b, radius) - means[0] * means[2]
    gb = _mean(g * b, radius) - means[1] * means[2]
    # Covariance of colours and mask, multiplied by the inverse of the colours' covariance matrix (its adjugate).
    pr, pg, pb = (_mean(c * scaled, radius) - m * mean for c, m in zip((r, g, b), means, strict=True))
    inverse = (gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg, rr * bb - rb * rb, rb * rg - rr * gb)
    last = rr * gg - rg * rg
    determinant = rr * inverse[0] + rg * inverse[1] + rb * inverse[2]
    slopes = (
        (inverse[0] * pr + inverse[1] * pg + inverse[2] * pb) / determinant,
        (inverse[1] * pr + inverse[3] * pg + inverse[4] * pb) / determinant,
        (inverse[2] * pr + inverse[4] * pg + last * pb) / determinant,
    )
    refined = mean - sum(slope * m for slope, m in zip(slopes, means, strict=True))
    refined = _mean(refined, radius)
    for slope, channel in zip(slopes, (r, g, b), strict=True):
        refined += _mean(slope, radius) * channel
    return np.rint(np.clip(refined, 0, 1) * 255).astype(np.uint8)


def own_colours(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Estimate the person's colours where the edge mixes them with the background's.

    Forte, 2021 (arXiv:2006.14970), the two rounds of blur-fusion estimation.

    Args:
        rgb: uint8 `[H, W, 3]`.
        mask: uint8 `[H, W]`.

    Returns:
        uint8 `[H, W, 3]`; pixels that belong to the person, or to the background, entirely are unchanged.
    """
    image = rgb.astype(np.float32)
    alpha = mask.astype(np.float32)[..., None] / 255
    person, background = image, image
    for share in COLOUR_RADII:
        radius = max(1, round(share * max(mask.shape)))
        near = _mean(alpha[..., 0], radius)[..., None]
        person = _mean(person * alpha, radius) / (near + 1e-5)
        background = _mean(background * (1 - alpha), radius) / (1 - near + 1e-5)
        person = np.clip(person + alpha * (image - alpha * person - (1 - alpha) * background), 0, 255)
    edge = (alpha > 0) & (alpha < 1)
    return np.where(edge, np.rint(person), image).astype(np.uint8)


def inner_colours(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Replace the colours on the edge of a drawing by those further inside.

    A model draws on white and lightens the edge, which is a halo on any other background.

    Args:
        rgb: uint8 `[H, W, 3]`.
        mask: uint8 `[H, W]`; where it is 255, colours stay.

    Returns:
        uint8 `[H, W, 3]`.
    """
    alpha = mask.astype(np.float32)[..., None] / 255
    inside = alpha**8
    colours, known = np.zeros_like(rgb, np.float32), np.zeros_like(alpha)
    for share in INNER_RADII:
        radius = max(1, round(share * max(mask.shape)))
        near = _mean(inside[..., 0], radius)[..., None]
        found = _mean(rgb * inside, radius) / np.maximum(near, 1e-6)
        colours = colours * known + found * (1 - known)
        known = np.maximum(known, np.clip(near * 20, 0, 1))
    stays = np.clip(2 * alpha - 1, 0, 1)
    stays = np.where(known > 0, stays * stays * (3 - 2 * stays), 1)
    return np.rint(np.clip(rgb * stays + colours * (1 - stays), 0, 255)).astype(np.uint8)


def own_part(points: np.ndarray, others: list[np.ndarray], side: int) -> np.ndarray:
    """Compute which pixels of a portrait are nearer to its own face than to others, relative to the faces' sizes.

    Args:
        points: landmarks of its face, in portrait pixels, `[68, 2]`.
        others: landmarks of the other faces.
        side: of the portrait.

    Returns:
        float32 `[side, side]` in 0..1.
    """
    part = np.ones((side, side), np.float32)
    own = _distance(points, side)
    for other in others:
        theirs = _distance(other, side)
        part = np.minimum(part, np.clip((theirs - own) / (SHARED * (theirs + own)) + 0.5, 0, 1))
    return part


def _distance(points: np.ndarray, side: int) -> np.ndarray:
    """Return the distance of every pixel from the middle of a face, in units of the face's size."""
    low, high = points.min(axis=0), points.max(axis=0)
    x, y = ((np.arange(side, dtype=np.float32) - middle) for middle in (low + high) / 2)
    return np.sqrt(x[None] ** 2 + y[:, None] ** 2) / np.float32(np.ptp(points, axis=0).max())


def _mean(values: np.ndarray, radius: int) -> np.ndarray:
    return cv2.blur(values, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)
