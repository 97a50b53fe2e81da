"""Statistics of a set of photographs that can be resampled: each maps weights of the photographs to a value.

Weights make bootstrap resamples (how often each photograph was drawn) and groups (1 inside, 0 outside) the same thing.
Two models scored with the same weights are compared in pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

Statistic = Callable[[np.ndarray], np.ndarray]  # weights [B, n] to values [B]


class Mean:
    """Mean over photographs; a photograph without a value (NaN) does not count.

    Args:
        values: `[n]`.
    """

    def __init__(self, values: np.ndarray) -> None:
        self._known = np.isfinite(values).astype(float)
        self._values = np.where(np.isfinite(values), values, 0.0).astype(float)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return (weights @ self._values) / (weights @ self._known)


class KernelDistance:
    """Unbiased squared maximum mean discrepancy with KID's kernel, (x.y / D + 1)^3 (arXiv:1801.01401), on all pairs.

    A photograph that was drawn twice is not compared with itself, so resampling does not bias the distance.

    Args:
        made: `[n, D]`, features of the cartoons, two or more.
        style: `[m, D]`, features of the style, two or more; it is not resampled.
    """

    def __init__(self, made: np.ndarray, style: np.ndarray) -> None:
        made, style = made.astype(np.float64), style.astype(np.float64)
        m, dimension = len(style), made.shape[1]
        self._within = ((made @ made.T) / dimension + 1) ** 3
        np.fill_diagonal(self._within, 0)
        self._between = (((made @ style.T) / dimension + 1) ** 3).mean(axis=1)
        style_kernel = ((style @ style.T) / dimension + 1) ** 3
        self._style = (style_kernel.sum() - np.trace(style_kernel)) / (m * (m - 1))

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        total = weights.sum(axis=1)
        pairs = total**2 - (weights**2).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            within = np.einsum("bi,ij,bj->b", weights, self._within, weights, optimize=True) / pairs
            return within + self._style - 2 * (weights @ self._between) / total


class FrechetDistance:
    """Frechet distance between Gaussians fitted to two sets (arXiv:1706.08500).

    With covariances A'A and B'B of centred features, the trace of the root of their product is the sum of the singular
    values of AB', a matrix of the numbers of images instead of features: the same number as pytorch_fid's, without the
    root of a 2048x2048 matrix.

    Args:
        made: `[n, D]`, two or more.
        style: `[m, D]`, two or more; it is not resampled.
    """

    def __init__(self, made: np.ndarray, style: np.ndarray) -> None:
        self._made, style = made.astype(np.float64), style.astype(np.float64)
        self._mean = style.mean(axis=0)
        centred = (style - self._mean) / np.sqrt(len(style) - 1)
        self._spread = np.square(centred).sum()
        self._cross = self._made @ centred.T
        # Fewer columns with the same singular values, where the style has more images than features.
        if centred.shape[0] > centred.shape[1]:
            triangle: Any = np.linalg.qr(centred, mode="r")
            self._cross = self._made @ triangle.T
        self._squares = np.square(self._made).sum(axis=1)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        return np.array([self._value(each) for each in weights])

    def _value(self, weights: np.ndarray) -> float:
        total = weights.sum()
        if np.count_nonzero(weights) < 2:
            return float("nan")
        share = weights / total
        mean = share @ self._made
        spread = (weights @ self._squares - total * (mean @ mean)) / (total - 1)
        inside = weights > 0
        rows = (self._cross[inside] - share @ self._cross) * np.sqrt(weights[inside, None] / (total - 1))
        root = np.linalg.svd(rows, compute_uv=False).sum()
        return float(np.square(mean - self._mean).sum() + spread + self._spread - 2 * root)


class Coverage:
    """Share of the style's images that have a cartoon among their neighbours (recall, arXiv:1904.06991).

    Args:
        near: bool `[n, m]`, whether the style's image lies within the neighbourhood of a cartoon.
    """

    def __init__(self, near: np.ndarray) -> None:
        self._near = near.astype(float)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        return ((weights > 0).astype(float) @ self._near > 0).mean(axis=1)


def resamples(people: Sequence[Hashable], draws: int, seed: int = 0) -> np.ndarray:
    """Return bootstrap weights `[draws, n]`: how often each photograph's person was drawn with replacement.

    People are drawn, not photographs: those of one person are alike, and would pass for more evidence than they are.

    Args:
        people: person of each photograph.
        draws: number of draws.
        seed: of the draws.
    """
    places = {person: place for place, person in enumerate(dict.fromkeys(people))}
    count = len(places)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)
    return drawn[:, [places[person] for person in people]].astype(float)


def half_interval(draws: np.ndarray) -> float:
    """Return half the width of the 95 % interval, 1.96 standard deviations of bootstrap draws `[B]`."""
    known = draws[np.isfinite(draws)]
    return float(1.96 * known.std(ddof=1)) if len(known) > 1 else float("inf")


def floor_of_kernel(style: np.ndarray, count: int, splits: int = 200, seed: int = 0) -> float:
    """Return the kernel distance that equals score: the 95th percentile between two random parts of the style itself.

    The estimate is unbiased, so its mean between parts is 0; below this value a set cannot be told from the style.

    Args:
        style: `[m, D]`; NaN for fewer than four.
        count: number of images that are scored: one part has as many, half of the style at most. Fewer images scatter more.
        splits: number of random divisions.
        seed: of the divisions.
    """
    m, part = len(style), max(2, min(count, len(style) // 2))
    if m < 4:
        return float("nan")
    rng, features = np.random.default_rng(seed), style.astype(np.float64)
    kernel = ((features @ features.T) / features.shape[1] + 1) ** 3
    np.fill_diagonal(kernel, 0)
    distances = []
    for _ in range(splits):
        order = rng.permutation(m)
        a, b = order[:part], order[part:]
        within = sum(kernel[np.ix_(half, half)].sum() / (len(half) * (len(half) - 1)) for half in (a, b))
        distances.append(within - 2 * kernel[np.ix_(a, b)].mean())
    return float(np.percentile(distances, 95))
