"""The distances agree with independent references."""

import numpy as np
import pytest
from scipy import linalg
from sklearn.metrics.pairwise import polynomial_kernel

from photo2cartoon.scoring.distances import face_distance, frechet_distance, kernel_distance


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 8)), rng.normal(0.3, 1.2, size=(60, 8))


def test_frechet_is_the_formula(sets):
    a, b = sets
    ca, cb = np.cov(a.T), np.cov(b.T)
    # For two positive definite matrices, the trace of the product's square root sums the roots of its eigenvalues.
    root = np.sqrt(linalg.eigvals(ca @ cb).real).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca) + np.trace(cb) - 2 * root
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_frechet_with_fewer_pictures_than_features():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(6, 32)), rng.normal(1, 1, size=(6, 32))
    assert 0 < frechet_distance(a, a + 0.1) < frechet_distance(a, b)


def test_kernel_is_kids_unbiased_estimate(sets):
    a, b = sets
    kernels = [polynomial_kernel(x, y, degree=3, gamma=1 / 8, coef0=1) for x, y in ((a, a), (b, b), (a, b))]
    aa, bb = ((k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in kernels[:2])
    distance, _ = kernel_distance(a, b)
    assert distance == pytest.approx(aa + bb - 2 * kernels[2].mean(), rel=1e-9)


def test_its_interval_is_the_jackknifes(sets):
    a, b = sets
    left_out = np.array([kernel_distance(np.delete(a, i, axis=0), b)[0] for i in range(len(a))])
    error = np.sqrt((len(a) - 1) / len(a) * ((left_out - left_out.mean()) ** 2).sum())
    assert kernel_distance(a, b)[1] == pytest.approx(1.96 * error, rel=1e-9)


def test_equal_distributions_are_at_zero_within_the_interval():
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(40):
        distance, interval = kernel_distance(rng.normal(size=(50, 4)), rng.normal(size=(3000, 4)))
        inside += abs(distance) <= interval
    assert inside >= 34


def test_face_distance(sets):
    a = sets[0] / np.linalg.norm(sets[0], axis=1, keepdims=True)
    assert face_distance(a, a)[0] == pytest.approx(0)
    assert face_distance(a, -a)[0] == pytest.approx(2)
    mean, interval = face_distance(a, np.roll(a, 1, axis=0))
    each = 1 - (a * np.roll(a, 1, axis=0)).sum(1)
    assert (mean, interval) == pytest.approx((each.mean(), 1.96 * each.std(ddof=1) / np.sqrt(len(a))))
