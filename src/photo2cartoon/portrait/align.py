"""Portrait geometry: level the eyes, crop the face in a square box. Rotation, box and padding are photo2cartoon's."""

from __future__ import annotations

import cv2
import numpy as np

LEFT_EYE_CORNER, RIGHT_EYE_CORNER = 36, 45
WHITE = (255, 255, 255)
GROW_TOP, GROW_REST = 0.8, 0.3


def eye_angle(points: np.ndarray) -> float:
    """Return the angle of the line between the outer eye corners, in radians in -pi..pi; 0 is level.

    Unlike a quotient of the differences, arctan2 also handles a vertical eye line and upside-down faces.
    """
    across, down = points[RIGHT_EYE_CORNER] - points[LEFT_EYE_CORNER]
    return float(np.arctan2(down, across))


def rotation(points: np.ndarray, height: int, width: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Compute the rotation about the image centre that levels the eyes, on a canvas large enough for the whole image.

    Args:
        points: `[68, 2]`, x and y in pixels.
        height, width: size of the image in pixels.

    Returns:
        The affine matrix float64 `[2, 3]` for `cv2.warpAffine`, and the canvas as (width, height).
    """
    angle = eye_angle(points)
    cos, sin = np.cos(angle), np.sin(angle)
    new_width = int(width * abs(cos) + height * abs(sin))
    new_height = int(width * abs(sin) + height * abs(cos))
    shift_x = new_width // 2 - width // 2
    shift_y = new_height // 2 - height // 2
    matrix = np.array(
        [
            [cos, sin, (1 - cos) * width / 2 - sin * height / 2 + shift_x],
            [-sin, cos, sin * width / 2 + (1 - cos) * height / 2 + shift_y],
        ]
    )
    return matrix, (new_width, new_height)


def square_box(points: np.ndarray) -> tuple[int, int, int, int]:
    """Compute the points' bounding box, grown by 0.8 of its height at the top and 0.3 at the other sides, made square.

    Args:
        points: `[68, 2]` after levelling.

    Returns:
        left, top, right, bottom in whole pixels; right and bottom are inclusive. The box may extend beyond the image.
    """
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    height, width = y1 - y0, x1 - x0
    top, bottom = int(y0 - GROW_TOP * height), int(y1 + GROW_REST * height)
    left, right = int(x0 - GROW_REST * width), int(x1 + GROW_REST * width)
    if bottom - top > right - left:
        left -= ((bottom - top) - (right - left)) // 2
        right = left + (bottom - top)
    else:
        top -= ((right - left) - (bottom - top)) // 2
        bottom = top + (right - left)
    return left, top, right, bottom


def crop_side(points: np.ndarray) -> int:
    """Return the side of the square that `level_and_crop` takes, in pixels of the points' image."""
    cos, sin = np.cos(angle := eye_angle(points)), np.sin(angle)
    left, _, right, _ = square_box(points @ np.array([[cos, -sin], [sin, cos]]))
    return right - left + 1


def scaled(points: np.ndarray, scale: float) -> np.ndarray:
    """Return points `[N, 2]` of an image in the image resized by `scale`."""
    return (points + 0.5) * scale - 0.5


def level_and_crop(rgb: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Crop the square around a face with its eyes level; pixels outside the image are white.

    Args:
        rgb: uint8 `[H, W, 3]`.
        points: `[68, 2]`, x and y in pixels of `rgb`.

    Returns:
        The square, uint8 `[S, S, 3]`, where S is the side of the box in the image's own pixels, and the affine matrix,
        float64 `[2, 3]`, from image pixels to pixels of the square.
    """
    height, width = rgb.shape[:2]
    matrix, canvas = rotation(points, height, width)
    levelled = np.hstack([points, np.ones((len(points), 1))]) @ matrix.T
    left, top, right, bottom = square_box(levelled)
    # Warp only the box instead of the whole canvas: moving the origin by whole pixels does not change interpolation.
    inside = np.array([max(left, 0), max(top, 0), min(right, canvas[0] - 1), min(bottom, canvas[1] - 1)])
    portrait = np.full((bottom - top + 1, right - left + 1, 3), 255, np.uint8)
    to_square = matrix - np.array([[0, 0, left], [0, 0, top]])
    if (inside[2:] < inside[:2]).any():
        return portrait, to_square
    moved = matrix.copy()
    moved[:, 2] -= inside[:2]
    size = (int(inside[2] - inside[0] + 1), int(inside[3] - inside[1] + 1))
    part = cv2.warpAffine(rgb, moved, size, borderValue=WHITE)
    y, x = int(inside[1] - top), int(inside[0] - left)
    portrait[y : y + size[1], x : x + size[0]] = part
    return portrait, to_square


def resized(matrix: np.ndarray, before: int, after: int) -> np.ndarray:
    """Adapt a matrix into a square to a resize of that square, which scales about pixel corners.

    Args:
        matrix: float64 `[2, 3]` into a square of side `before`.
        before, after: sides in pixels.
    """
    scale = after / before
    return np.hstack([matrix[:, :2] * scale, (matrix[:, 2:] + 0.5) * scale - 0.5])
