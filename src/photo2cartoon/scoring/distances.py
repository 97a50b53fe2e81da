"""Distances between two sets of feature vectors. Smaller is closer."""

from __future__ import annotations

import numpy as np

from photo2cartoon.scoring.features import prepare_torchvision


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Frechet distance between Gaussians fitted to two sets (arXiv:1706.08500), computed by pytorch_fid.

    With fewer images than features it still ranks checkpoints of one run, but is far from its asymptotic value: compare
    only numbers from the same images.

    Args:
        a, b: `[n, D]`, `[m, D]`, at least two of each.
    """
    prepare_torchvision()
    from pytorch_fid.fid_score import calculate_frechet_distance

    a, b = a.astype(np.float64), b.astype(np.float64)
    covariances = [np.atleast_2d(np.cov(features, rowvar=False)) for features in (a, b)]
    return float(calculate_frechet_distance(a.mean(axis=0), covariances[0], b.mean(axis=0), covariances[1]))


def kernel_distance(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Unbiased squared maximum mean discrepancy with KID's kernel, (x.y / D + 1)^3 (arXiv:1801.01401), on all pairs.

    Args:
        a, b: `[n, D]`, `[m, D]`, at least two of each.

    Returns:
        The distance, which may be slightly negative, and half the width of its 95 % interval over the images of `a`
        (jackknife; `b` is held fixed).
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    n, m, dimension = len(a), len(b), a.shape[1]
    aa, ab, bb = (((x @ y.T) / dimension + 1) ** 3 for x, y in ((a, a), (a, b), (b, b)))
    within_b = (bb.sum() - np.trace(bb)) / (m * (m - 1))
    np.fill_diagonal(aa, 0)
    sum_aa, rows_aa, rows_ab = aa.sum(), aa.sum(axis=1), ab.sum(axis=1)
    distance = sum_aa / (n * (n - 1)) + within_b - 2 * rows_ab.sum() / (n * m)
    if n < 3:
        return float(distance), float("inf")
    without = (sum_aa - 2 * rows_aa) / ((n - 1) * (n - 2)) + within_b
    without -= 2 * (rows_ab.sum() - rows_ab) / ((n - 1) * m)
    error = np.sqrt((n - 1) / n * np.square(without - without.mean()).sum())
    return float(distance), float(1.96 * error)


def face_distance(photos: np.ndarray, cartoons: np.ndarray) -> tuple[float, float]:
    """Mean of 1 - cosine between the face features of each photograph and of its own cartoon; 0 is the same face.

    Args:
        photos, cartoons: `[n, D]` in the same order, rows of length 1.

    Returns:
        The mean and half the width of its 95 % interval.
    """
    distances = 1 - (photos * cartoons).sum(axis=1)
    error = distances.std(ddof=1) / np.sqrt(len(distances)) if len(distances) > 1 else float("inf")
    return float(distances.mean()), float(1.96 * error)
